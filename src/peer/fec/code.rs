//! Which packets each parity covers.
//!
//! Several parities made at once divide the new packets by columns of a matrix: packet i is in those parities whose bit
//! is set in α^i, α being a primitive element of GF(2^parities). Any two packets have different columns (as in a Hamming
//! code) until they repeat, and any as many consecutive ones as there are parities have independent columns: bursts of
//! that length are restored, and of lone losses nearly as many as there are parities.
//!
//! A parity also covers about half of the packets that earlier parities covered already, chosen at random by both its
//! number and theirs: what one parity could not mend, the next ones mend as well, each with one more equation (random
//! linear codes over a sliding window; RFC 8681 is the same over a larger field, for which there is no format here).

/// Parities that can be made at once.
pub(super) const MAX_ROWS: usize = 16;
/// Primitive polynomials over GF(2) by degree, the lowest first (Lidl and Niederreiter, "Finite Fields", table D).
const POLYNOMIALS: [u32; MAX_ROWS] = [
    0x3, 0x7, 0xb, 0x13, 0x25, 0x43, 0x89, 0x11d, 0x211, 0x409, 0x805, 0x1053, 0x201b, 0x4443, 0x8003,
    0x1100b,
];

/// Columns of new packets, in order: bit r says whether the packet is in row r of `rows` (1 to [`MAX_ROWS`]).
pub(super) fn columns(rows: usize) -> impl Iterator<Item = u32> {
    let rows = rows.clamp(1, MAX_ROWS);
    let polynomial = POLYNOMIALS[rows - 1];
    std::iter::successors(Some(1_u32), move |column| {
        let shifted = column << 1;
        Some(if shifted >> rows & 1 == 1 { shifted ^ polynomial } else { shifted })
    })
}

/// Whether a parity covers a packet that was covered before: by the numbers of both, for each of the next ones anew.
pub(super) fn covers_again(parity: u16, packet: u16) -> bool {
    // The finalizer of MurmurHash3: every bit of the input changes half of the output's.
    let mut hash = u32::from(parity) << 16 | u32::from(packet);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) & 1 == 1
}
