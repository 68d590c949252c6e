//! `ahoy devices`: what there is to choose from, as the program sees it.

use crate::engine::{Device, Devices, list_devices};
use std::io::Write;

/// Prints the list to stdout.
///
/// # Errors
/// If stdout cannot be written.
pub fn print(json: bool) -> std::io::Result<()> {
    let devices = list_devices();
    let mut stdout = std::io::stdout().lock();
    if json {
        return writeln!(stdout, "{}", serde_json::to_string_pretty(&devices)?);
    }
    let Devices { cameras, microphones, speakers } = devices;
    print_kind(&mut stdout, "Cameras", &cameras)?;
    print_kind(&mut stdout, "Microphones", &microphones)?;
    print_kind(&mut stdout, "Speakers", &speakers)
}

fn print_kind(out: &mut impl Write, title: &str, devices: &[Device]) -> std::io::Result<()> {
    writeln!(out, "{title}")?;
    if devices.is_empty() {
        writeln!(out, "  none found")?;
    }
    for device in devices {
        let mark = if device.default { " (default)" } else { "" };
        writeln!(out, "  {}{mark}", device.name)?;
        writeln!(out, "    id: {}", device.id)?;
        for format in &device.formats {
            writeln!(out, "    {format}")?;
        }
    }
    Ok(())
}
