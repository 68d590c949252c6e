//! What the kernel knows of a process: threads, descriptors, memory, processor time.

use std::collections::BTreeMap;
use std::fs;

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) threads: usize,
    /// Open file descriptors, sockets among them.
    pub(crate) descriptors: usize,
    pub(crate) sockets: usize,
    /// Memory in RAM, KiB.
    pub(crate) resident_kib: u64,
}

/// What the process of that id holds now.
pub(crate) fn holdings(process: u32) -> Holdings {
    let descriptors: Vec<_> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        // One may be closed between listing and looking.
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .collect();
    Holdings {
        threads: fs::read_dir(format!("/proc/{process}/task")).unwrap().count(),
        descriptors: descriptors.len(),
        sockets: descriptors.iter().filter(|target| target.to_string_lossy().starts_with("socket:")).count(),
        resident_kib: status_kib(process, "VmRSS"),
    }
}

/// Names of the threads of a process, sorted.
pub(crate) fn thread_names(process: u32) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

/// The largest resident memory that a process ever had, KiB.
pub(crate) fn peak_kib(process: u32) -> u64 {
    status_kib(process, "VmHWM")
}

/// Proportional share of memory (each shared page divided among its users), KiB; 0 if the process is gone.
pub(crate) fn proportional_kib(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    kib_after(&text, "Pss:").unwrap_or_default()
}

/// Processor time used so far, user and system, seconds; 0 if the process is gone.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    // Fields 14 and 15, counted behind the name, which may hold blanks; in hundredths of a second (USER_HZ).
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Processor time used so far by each thread of a process, by name, seconds; threads that have ended are left out.
pub(crate) fn cpu_seconds_by_thread(process: u32) -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten() {
        let read = |file| fs::read_to_string(entry.path().join(file));
        // The time that it was on a processor, nanoseconds: finer than the hundredths of `stat`.
        let (Ok(name), Ok(spent)) = (read("comm"), read("schedstat")) else { continue };
        let nanoseconds: f64 = spent.split(' ').next().unwrap().parse().unwrap();
        *threads.entry(name.trim().to_owned()).or_default() += nanoseconds / 1e9;
    }
    threads
}

/// The process and all its descendants.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(parent) = text[text.rfind(')').unwrap() + 2..].split(' ').nth(1) else { continue };
        parents.push((id, parent.parse::<u32>().unwrap()));
    }
    let mut family = vec![process];
    let mut at = 0;
    while at < family.len() {
        let of = family[at];
        family.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(id, _)| *id));
        at += 1;
    }
    family
}

fn status_kib(process: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    kib_after(&text, &format!("{key}:")).unwrap_or_default()
}

fn kib_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line[key.len()..].trim().strip_suffix("kB")?.trim().parse().ok()
}
