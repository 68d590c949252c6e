//! The settings file: TOML, read once at the start, replaced whole when something changes.

use super::Settings;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why the settings could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there but cannot be read or written.
    #[error("the settings file {path} cannot be used: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what this program wrote.
    #[error(
        "the settings file {path} is damaged and was left as it is; the settings are the defaults: {reason}"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// Where the settings are kept on this system, if it has such a place.
pub fn default_path() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "ahoy").map(|dirs| dirs.config_dir().join("settings.toml"))
}

/// Reads the settings; a file that does not exist yet gives the defaults.
///
/// # Errors
/// If the file cannot be read, or is no valid settings file. It is never changed by reading.
pub fn load(path: &Path) -> Result<Settings, SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(source) => return Err(SettingsError::Io { path: path.into(), source }),
    };
    toml::from_str(&text)
        .map_err(|error| SettingsError::Damaged { path: path.into(), reason: error.message().to_owned() })
}

/// Replaces the file in one step, so that no half-written file can be left behind. The credentials of TURN servers
/// are in it: on Unix only the user can read it.
///
/// # Errors
/// If the folder or the file cannot be written; the old file is then as it was.
pub fn save(path: &Path, settings: &Settings) -> Result<(), SettingsError> {
    write(path, settings).map_err(|source| SettingsError::Io { path: path.into(), source })
}

fn write(path: &Path, settings: &Settings) -> std::io::Result<()> {
    let text = toml::to_string_pretty(settings).map_err(std::io::Error::other)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if load(path).is_err() && path.exists() {
        // What the user may have edited by hand is kept beside the new file.
        std::fs::rename(path, path.with_extension("toml.damaged"))?;
    }
    let new = path.with_extension("toml.new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::super::{CameraChoice, IceServer};
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "Zoë".into(),
            camera: CameraChoice::Device("/dev/video2".into()),
            ice_servers: vec![IceServer {
                url: "turn:example.org".into(),
                username: "u".into(),
                credential: "c".into(),
            }],
            ..Settings::default()
        }
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/settings.toml");
        assert_eq!(load(&path).unwrap(), Settings::default());
        save(&path, &settings()).unwrap();
        assert_eq!(load(&path).unwrap(), settings());
    }

    #[test]
    fn a_damaged_file_is_reported_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "name = 7 [").unwrap();
        assert!(matches!(load(&path), Err(SettingsError::Damaged { .. })));
        save(&path, &settings()).unwrap();
        assert_eq!(std::fs::read_to_string(path.with_extension("toml.damaged")).unwrap(), "name = 7 [");
        assert_eq!(load(&path).unwrap(), settings());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_can_read_the_credentials() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        save(&path, &settings()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
