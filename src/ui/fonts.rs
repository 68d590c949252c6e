//! Fonts: the families that the theme uses, and the system's fonts for scripts that the built-in ones lack.
//!
//! egui asks [`SystemFonts`] for a character that no font has. It answers from what is loaded and hands everything
//! else to a thread of its own, which looks for a file, reads it and lets egui ask again. So a chat without Chinese
//! never reads 19 MB of Chinese, and the window never waits for the disk. If nothing is found a box is drawn.

use super::theme;
use eframe::egui::{
    Context, FallbackRequest, FontData, FontDefinitions, FontFamily, FontInsert, FontProvider,
};
use skrifa::MetadataProvider as _;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Characters that may wait to be looked up. When full a character is dropped; the next reload of the fonts asks
/// again.
const REQUEST_CAPACITY: usize = 64;
/// Directories below a font directory that are searched.
const DEPTH: usize = 4;
/// Files larger than this are no fonts that we want in memory.
const MAX_BYTES: u64 = 64 << 20;

/// Ordinary and strong weight for the whole window, best first; the built-in font if the system has none of them.
const TEXT_FONTS: [(&str, &str); 6] = [
    ("inter-regular.ttf", "inter-semibold.ttf"),
    ("segoeui.ttf", "seguisb.ttf"),
    ("notosans-regular.ttf", "notosans-semibold.ttf"),
    ("notosans-regular.ttf", "notosans-bold.ttf"),
    ("dejavusans.ttf", "dejavusans-bold.ttf"),
    ("arial.ttf", "arial bold.ttf"),
];

/// Ranges of code points, first and last, and the files that may have them.
type Script = (&'static [(u32, u32)], &'static [&'static str]);

/// Which files to look for when a character of this range is missing, best first. A collection's first face is
/// taken: in Noto Sans CJK and PingFang it holds every ideograph, with the shapes of one region.
const SCRIPTS: [Script; 9] = [
    (
        &[
            (0x1100, 0x11ff),
            (0x2e80, 0xa4cf),
            (0xac00, 0xd7ff),
            (0xf900, 0xfaff),
            (0xff00, 0xffef),
            (0x20000, 0x3ffff),
        ],
        &[
            "notosanscjk-regular.ttc",
            "notosanscjksc-regular.otf",
            "pingfang.ttc",
            "hiragino sans gb.ttc",
            "msyh.ttc",
            "yugothr.ttc",
            "malgun.ttf",
            "wqy-microhei.ttc",
            "droidsansfallbackfull.ttf",
        ],
    ),
    (
        &[(0x600, 0x6ff), (0x750, 0x77f), (0x8a0, 0x8ff), (0xfb50, 0xfdff), (0xfe70, 0xfeff)],
        &[
            "notosansarabic-regular.ttf",
            "notonaskharabic-regular.ttf",
            "geezapro.ttc",
            "segoeui.ttf",
            "dejavusans.ttf",
        ],
    ),
    (
        &[(0x590, 0x5ff), (0xfb1d, 0xfb4f)],
        &["notosanshebrew-regular.ttf", "arialhb.ttc", "segoeui.ttf", "dejavusans.ttf"],
    ),
    (
        &[(0x900, 0x97f), (0xa8e0, 0xa8ff)],
        &["notosansdevanagari-regular.ttf", "kohinoor.ttc", "nirmala.ttf", "nirmala.ttc"],
    ),
    (&[(0x980, 0x9ff)], &["notosansbengali-regular.ttf", "kohinoorbangla.ttc", "nirmala.ttf", "nirmala.ttc"]),
    (&[(0xb80, 0xbff)], &["notosanstamil-regular.ttf", "tamil sangam mn.ttc", "nirmala.ttf", "nirmala.ttc"]),
    (&[(0xe00, 0xe7f)], &["notosansthai-regular.ttf", "thonburi.ttc", "leelawui.ttf"]),
    (
        &[(0x2600, 0x27bf), (0x2b00, 0x2bff), (0x1f000, 0x1faff)],
        &[
            "notoemoji-regular.ttf",
            "notoemoji[wght].ttf",
            "notocoloremoji.ttf",
            "apple color emoji.ttc",
            "seguiemj.ttf",
            "notosanssymbols2-regular.ttf",
            "symbola.ttf",
            "dejavusans.ttf",
        ],
    ),
    (
        &[(0, 0x10ffff)],
        &[
            "notosans-regular.ttf",
            "dejavusans.ttf",
            "notosansmath-regular.ttf",
            "notosanssymbols-regular.ttf",
            "notosanssymbols2-regular.ttf",
            "notosansarmenian-regular.ttf",
            "notosansgeorgian-regular.ttf",
            "notosansethiopic-regular.ttf",
            "notosanskhmer-regular.ttf",
            "notosanstelugu-regular.ttf",
            "notosansgujarati-regular.ttf",
            "arial unicode.ttf",
            "segoeui.ttf",
            "seguisym.ttf",
        ],
    ),
];

/// Defines the families of the theme with the built-in fonts.
pub(super) fn install(ctx: &Context) {
    ctx.set_fonts(definitions());
}

fn definitions() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let proportional = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    fonts.families.insert(theme::strong_family(), proportional);
    fonts
}

/// Takes the system's fonts into use, text first, other scripts once they are met.
pub(super) fn add_system_fonts(ctx: &Context) -> SystemFontLoader {
    let (wanted, requests) = sync_channel(REQUEST_CAPACITY);
    let loaded = Arc::new(Mutex::new(Vec::new()));
    let provider = Arc::new(SystemFonts { loaded: Arc::clone(&loaded), wanted: Mutex::new(Some(wanted)) });
    ctx.set_font_providers(vec![Arc::clone(&provider) as Arc<dyn FontProvider>]);
    let loader = Loader { ctx: ctx.clone(), provider: Arc::clone(&provider), loaded, tried: HashSet::new() };
    let thread = std::thread::Builder::new().name("fonts".into()).spawn(move || loader.run(&requests));
    let thread = thread.inspect_err(|error| {
        tracing::warn!(%error, "no thread for fonts: scripts that the built-in fonts lack are drawn as boxes");
    });
    SystemFontLoader { provider, thread: thread.ok() }
}

/// Owns the thread that reads fonts; dropping it ends the thread.
pub(super) struct SystemFontLoader {
    provider: Arc<SystemFonts>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SystemFontLoader {
    fn drop(&mut self) {
        lock(&self.provider.wanted).take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that reads fonts panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What egui asks for missing characters.
struct SystemFonts {
    loaded: Arc<Mutex<Vec<Loaded>>>,
    /// `None` once the window closes.
    wanted: Mutex<Option<SyncSender<char>>>,
}

/// A font read from the disk.
struct Loaded {
    name: String,
    data: FontData,
}

impl FontProvider for SystemFonts {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let character = request.cluster.chars().next()?;
        if let Some(font) = lock(&self.loaded).iter().find(|font| covers(&font.data, character)) {
            return Some(FontInsert::new(&font.name, font.data.clone(), Vec::new()));
        }
        let refused = lock(&self.wanted).as_ref().is_some_and(|wanted| wanted.try_send(character).is_err());
        if refused {
            tracing::debug!(code = character as u32, "font look-up dropped: too many are waiting");
        }
        None
    }
}

fn covers(data: &FontData, character: char) -> bool {
    skrifa::FontRef::from_index(data.bytes(), data.index)
        .is_ok_and(|font| font.charmap().map(character).is_some())
}

/// The thread's side.
struct Loader {
    ctx: Context,
    provider: Arc<SystemFonts>,
    loaded: Arc<Mutex<Vec<Loaded>>>,
    tried: HashSet<&'static str>,
}

impl Loader {
    fn run(mut self, requests: &Receiver<char>) {
        let files = font_files();
        self.load_text_fonts(&files);
        while let Ok(first) = requests.recv() {
            // All that wait are looked up before egui lays its text out anew.
            let waiting = std::iter::once(first).chain(requests.try_iter());
            let mut found = false;
            for character in waiting {
                found |= self.find(&files, character);
            }
            if found {
                // Asks egui to forget what it could not find, and to ask again.
                let provider = Arc::clone(&self.provider) as Arc<dyn FontProvider>;
                self.ctx.set_font_providers(vec![provider]);
            }
        }
    }

    fn load_text_fonts(&self, files: &HashMap<String, PathBuf>) {
        let pair = TEXT_FONTS
            .iter()
            .find_map(|(regular, strong)| Some((read(files.get(*regular)?)?, read(files.get(*strong)?)?)));
        let Some((regular, strong)) = pair else { return };
        let mut fonts = definitions();
        for (name, data, family) in
            [("text", regular, FontFamily::Proportional), ("strong text", strong, theme::strong_family())]
        {
            fonts.font_data.insert(name.into(), Arc::new(data));
            fonts.families.entry(family).or_default().insert(0, name.into());
        }
        self.ctx.set_fonts(fonts);
        self.ctx.request_repaint();
    }

    /// Loads files until one has the character; false if none has.
    fn find(&mut self, files: &HashMap<String, PathBuf>, character: char) -> bool {
        if lock(&self.loaded).iter().any(|font| covers(&font.data, character)) {
            return true;
        }
        let code = character as u32;
        let scripts = SCRIPTS
            .iter()
            .filter(|(ranges, _)| ranges.iter().any(|(from, to)| (*from..=*to).contains(&code)));
        for name in scripts.flat_map(|(_, names)| names.iter()) {
            if !self.tried.insert(*name) {
                continue;
            }
            let Some(data) = files.get(*name).and_then(|path| read(path)) else { continue };
            let found = covers(&data, character);
            tracing::debug!(font = name, code, found, "font read");
            lock(&self.loaded).push(Loaded { name: (*name).into(), data });
            if found {
                return true;
            }
        }
        false
    }
}

fn read(path: &Path) -> Option<FontData> {
    let length = std::fs::metadata(path).ok()?.len();
    let bytes = (length <= MAX_BYTES).then(|| std::fs::read(path).ok()).flatten()?;
    skrifa::FontRef::from_index(&bytes, 0).ok()?;
    Some(FontData::from_owned(bytes))
}

/// Every font file of this machine under its name in lower case.
fn font_files() -> HashMap<String, PathBuf> {
    let mut files = HashMap::new();
    let mut waiting: Vec<(PathBuf, usize)> = directories().into_iter().map(|path| (path, DEPTH)).collect();
    while let Some((directory, depth)) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                if depth > 0 {
                    waiting.push((path, depth - 1));
                }
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                files.entry(name.to_lowercase()).or_insert(path);
            }
        }
    }
    files
}

/// Where systems keep fonts: the XDG directories, macOS' and Windows'.
fn directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/run/current-system/sw/share/X11/fonts",
        "/System/Library/Fonts",
        "/Library/Fonts",
    ]
    .map(PathBuf::from)
    .into();
    for (variable, below) in [
        ("XDG_DATA_HOME", "fonts"),
        ("HOME", ".local/share/fonts"),
        ("HOME", ".fonts"),
        ("HOME", "Library/Fonts"),
        ("WINDIR", "Fonts"),
        ("LOCALAPPDATA", "Microsoft\\Windows\\Fonts"),
    ] {
        directories.extend(std::env::var_os(variable).map(|base| Path::new(&base).join(below)));
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_looked_for_under_its_name_in_lower_case() {
        let names = SCRIPTS.iter().flat_map(|(_, names)| names.iter());
        let text = TEXT_FONTS.iter().flat_map(|(regular, strong)| [regular, strong]);
        for name in names.chain(text) {
            assert_eq!(*name, name.to_lowercase());
        }
    }

    #[test]
    fn a_missing_script_is_read_on_the_thread_and_the_thread_ends_with_its_owner() {
        let ctx = Context::default();
        install(&ctx);
        let loader = add_system_fonts(&ctx);
        let family = FontFamily::Proportional;
        let request = FallbackRequest { cluster: "\u{e9}", family: &family };
        // Nothing is loaded yet, whatever the machine has: the first answer never waits for the disk.
        assert!(loader.provider.font_for(&request).is_none());
        drop(loader);
    }
}
