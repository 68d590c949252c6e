//! Finds libvpx and makes its bindings. Says so loudly when the H.264 codec will be built without its assembler
//! routines: it then takes three times the processor time, and its own build says nothing.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=NASM");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    // The standalone server has no video.
    #[cfg(feature = "desktop")]
    {
        warn_without_nasm();
        vpx::link_and_bind();
    }
}

#[cfg(feature = "desktop")]
fn warn_without_nasm() {
    // Other processors need no nasm: their routines are built by the C compiler.
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(target.as_str(), "x86" | "x86_64") {
        return;
    }
    if std::env::var_os("OPENH264_NO_ASM").is_some() {
        println!("cargo:warning=OPENH264_NO_ASM is set: video will take three times the processor time");
        return;
    }
    // The codec's build looks at NASM first, then along PATH.
    let nasm = std::env::var_os("NASM").unwrap_or_else(|| "nasm".into());
    if !std::process::Command::new(nasm).arg("-v").output().is_ok_and(|output| output.status.success()) {
        println!("cargo:warning=nasm was not found: video will take three times the processor time");
        println!("cargo:warning=install it (apt install nasm, dnf install nasm, brew install nasm), then");
        println!(
            "cargo:warning=rebuild the codec: cargo clean -p openh264-sys2 --release && cargo build --release"
        );
    }
}

/// VP8 by the system's libvpx.
#[cfg(feature = "desktop")]
mod vpx {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    const HEADERS: &str = "#include <vpx/vpx_decoder.h>\n#include <vpx/vp8cx.h>\n#include <vpx/vp8dx.h>\n";
    /// Everything that `src/media/video/vp8` names; types follow by themselves.
    const FUNCTIONS: &str = "vpx_codec_(vp8_cx|vp8_dx|enc_config_default|enc_init_ver|enc_config_set|encode|\
        get_cx_data|dec_init_ver|decode|get_frame|control_|destroy|err_to_string|error_detail)|vpx_img_wrap";
    const CONSTANTS: &str =
        "VPX_(ENCODER|DECODER)_ABI_VERSION|VPX_DL_REALTIME|VPX_EFLAG_FORCE_KF|VPX_FRAME_IS_KEY";
    const TYPES: &str = "vp8e_enc_control_id|vp8_dec_control_id|vp8e_token_partitions";

    pub(super) fn link_and_bind() {
        let library =
            match pkg_config::Config::new().cargo_metadata(false).atleast_version("1.8").probe("vpx") {
                Ok(library) => library,
                Err(error) => {
                    println!("cargo:warning=libvpx (VP8) was not found: install it (apt install libvpx-dev,");
                    println!(
                        "cargo:warning=dnf install libvpx-devel, pacman -S libvpx, brew install libvpx)"
                    );
                    panic!("libvpx was not found: {error}");
                }
            };
        // The archive if there is one, so that the program runs where libvpx is not installed.
        match archive(&library.link_paths) {
            Some(folder) => {
                println!("cargo:rustc-link-search=native={}", folder.display());
                println!("cargo:rustc-link-lib=static=vpx");
            }
            None => {
                for path in &library.link_paths {
                    println!("cargo:rustc-link-search=native={}", path.display());
                }
                println!("cargo:rustc-link-lib=dylib=vpx");
            }
        }
        let bindings = bindgen::Builder::default()
            .header_contents("vpx.h", HEADERS)
            .clang_args(library.include_paths.iter().map(|path| format!("-I{}", path.display())))
            .allowlist_function(FUNCTIONS)
            .allowlist_var(CONSTANTS)
            .allowlist_type(TYPES)
            .prepend_enum_name(false)
            .layout_tests(false)
            .generate_comments(false)
            .rust_edition(bindgen::RustEdition::Edition2024)
            .generate()
            .unwrap_or_else(|error| panic!("libvpx's headers cannot be read: {error}"));
        let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("vpx.rs");
        bindings.write_to_file(&out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
    }

    /// Where libvpx.a is: beside the shared library, or where the C compiler looks by itself.
    fn archive(paths: &[PathBuf]) -> Option<PathBuf> {
        println!("cargo:rerun-if-env-changed=CC");
        const NAME: &str = "libvpx.a";
        if let Some(path) = paths.iter().find(|path| path.join(NAME).is_file()) {
            return Some(path.clone());
        }
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let found = Command::new(compiler).arg(format!("-print-file-name={NAME}")).output().ok()?;
        let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim());
        // A compiler that does not find it prints the bare name.
        path.is_absolute().then(|| path.parent().map(Path::to_path_buf)).flatten()
    }
}
