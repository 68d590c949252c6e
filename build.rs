//! Says so loudly when the H.264 codec will be built without its assembler routines: it then takes three times the
//! processor time, and its own build says nothing.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=NASM");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    let video = std::env::var_os("CARGO_FEATURE_DESKTOP").is_some();
    // Other processors need no nasm: their routines are built by the C compiler.
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !video || !matches!(target.as_str(), "x86" | "x86_64") {
        return;
    }
    if std::env::var_os("OPENH264_NO_ASM").is_some() {
        println!("cargo:warning=OPENH264_NO_ASM is set: video will take three times the processor time");
        return;
    }
    // The codec's build looks at NASM first, then along PATH.
    let nasm = std::env::var_os("NASM").unwrap_or_else(|| "nasm".into());
    if !Command::new(nasm).arg("-v").output().is_ok_and(|output| output.status.success()) {
        println!("cargo:warning=nasm was not found: video will take three times the processor time");
        println!("cargo:warning=install it (apt install nasm, dnf install nasm, brew install nasm), then");
        println!(
            "cargo:warning=rebuild the codec: cargo clean -p openh264-sys2 --release && cargo build --release"
        );
    }
}
