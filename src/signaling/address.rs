//! What a person writes as the server's address, turned into a URL.

use crate::protocol::DEFAULT_PORT;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Host name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of the URL, with its slash.
    pub path: String,
}

impl ServerAddress {
    /// `ws://HOST:PORT/PATH`.
    pub fn url(&self) -> String {
        format!("ws://{}{}", self.authority(), self.path)
    }

    /// `HOST:PORT`, as people write it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Parses `HOST`, `HOST:PORT`, `ws://HOST[:PORT][/PATH]`; IPv6 addresses with or without brackets.
    ///
    /// # Errors
    /// In words for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) => {
                match scheme.to_ascii_lowercase().as_str() {
                    "ws" => rest,
                    "wss" => {
                        return Err("this version of Ahoy cannot use encrypted signaling (wss://): use ws://, or reach \
                         the server through an encrypted tunnel"
                        .into());
                    }
                    other => {
                        return Err(format!(
                            "\"{other}://\" is no address of a signaling server: write ws://HOST:PORT"
                        ));
                    }
                }
            }
        };
        let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        if path.starts_with('#')
            || path.chars().any(|character| character.is_whitespace() || character.is_control())
        {
            return Err(format!("\"{text}\" is no address of a server: write HOST or HOST:PORT"));
        }
        let (host, port) = split_authority(authority, text)?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => {
                    return Err(format!(
                        "\"{port}\" is no port: write a number between 1 and 65535 after the colon"
                    ));
                }
                Ok(port) => port,
            },
        };
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Ok(Self { host, port, path })
    }
}

/// What to enter on this computer, and on others, to reach a server that listens on `bound`.
pub fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list the network interfaces");
        Vec::new()
    });
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    // Link-local ones need a zone that is another on every computer.
    addresses.retain(|address| match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => bound.is_ipv6() && !address.is_unicast_link_local(),
    });
    addresses.into_iter().map(|address| SocketAddr::new(address, bound.port())).collect()
}

/// The URL for what a person wrote: `HOST`, `HOST:PORT`, `ws://HOST[:PORT]` become `ws://HOST:PORT/`.
///
/// # Errors
/// In words for the person who wrote it.
pub fn server_url(text: &str) -> Result<String, String> {
    ServerAddress::parse(text).map(|address| address.url())
}

fn split_authority<'a>(authority: &'a str, text: &str) -> Result<(String, Option<&'a str>), String> {
    let no_address = || format!("\"{text}\" is no address of a server: write HOST or HOST:PORT");
    if authority.is_empty() {
        return Err(
            "name the server: its host name or address, as in example.org or 192.168.1.20:6503".into()
        );
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or_else(no_address)?;
        let Ok(host) = host.parse::<Ipv6Addr>() else {
            return Err(format!("\"{host}\" is no IPv6 address"));
        };
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host.to_string(), Some(port))),
            None if rest.is_empty() => Ok((host.to_string(), None)),
            None => Err(no_address()),
        };
    }
    if let Ok(address) = authority.parse::<Ipv6Addr>() {
        return Ok((address.to_string(), None));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // Letters of any script: the resolver knows which host names exist.
    let plausible = |character: char| character.is_alphanumeric() || matches!(character, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(plausible) {
        return Err(no_address());
    }
    Ok((host.into(), port))
}

#[cfg(test)]
mod tests {
    use super::server_url;

    #[test]
    fn what_people_write_becomes_a_url() {
        for (text, url) in [
            ("localhost", "ws://localhost:6503/"),
            (" 192.168.1.20 ", "ws://192.168.1.20:6503/"),
            ("example.org:8080", "ws://example.org:8080/"),
            ("ws://example.org", "ws://example.org:6503/"),
            ("WS://example.org:80/", "ws://example.org:80/"),
            ("ws://example.org/chat?room=1", "ws://example.org:6503/chat?room=1"),
            ("::1", "ws://[::1]:6503/"),
            ("[::1]", "ws://[::1]:6503/"),
            ("ws://[2001:db8::7]:9000", "ws://[2001:db8::7]:9000/"),
        ] {
            assert_eq!(server_url(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn a_url_is_its_own_url() {
        for text in ["localhost", "[::1]:7", "ws://a.example/x"] {
            let url = server_url(text).unwrap();
            assert_eq!(server_url(&url), Ok(url));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for (text, word) in [
            ("", "name the server"),
            ("ws://", "name the server"),
            ("wss://example.org", "encrypted"),
            ("http://example.org", "ws://HOST:PORT"),
            ("example.org:port", "no port"),
            ("example.org:0", "no port"),
            ("example.org:65536", "no port"),
            ("exa mple.org", "no address"),
            ("user@example.org", "no address"),
            ("[::1", "no address"),
            ("[::1]x", "no address"),
            ("[::x]", "no IPv6 address"),
            (":6503", "no address"),
            ("example.org/a b", "no address"),
        ] {
            let error = server_url(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
