//! One row of the settings that chooses a device: a list of what there is, and a path where the choice is a file.

use super::{plain, theme};
use crate::engine::Device;
use eframe::egui::{Align, ComboBox, Id, Label, Layout, Margin, RichText, TextEdit, Ui, vec2};
use std::fmt::Display;
use std::str::FromStr;

const LABEL_WIDTH: f32 = 170.0;

/// A path that is being typed.
#[derive(Default)]
pub(super) struct Source {
    path: Option<String>,
    /// Why the path typed is none.
    error: Option<String>,
}

/// What a row is about.
pub(super) struct Kind<C> {
    pub(super) label: &'static str,
    /// What a file's name looks like; `None` if no file can be chosen.
    pub(super) path_hint: Option<&'static str>,
    pub(super) is_file: fn(&C) -> bool,
}

impl Source {
    /// Draws the row; gives a new choice if one was made.
    pub(super) fn ui<C>(
        &mut self,
        ui: &mut Ui,
        kind: &Kind<C>,
        fixed: &[(&str, C)],
        devices: &[Device],
        present: &C,
    ) -> Option<C>
    where
        C: Clone + PartialEq + Display + FromStr<Err = String>,
    {
        let mut chosen = None;
        row_ui(ui, kind.label, |ui, label| {
            let typing = self.path.is_some() || (kind.is_file)(present);
            let selected = if typing { "File…".to_owned() } else { shown(fixed, devices, present) };
            let combo = ComboBox::from_id_salt(kind.label).width(ui.available_width()).truncate();
            let response = combo.selected_text(selected).show_ui(ui, |ui| {
                for (words, choice) in fixed {
                    if ui.selectable_label(!typing && choice == present, *words).clicked() {
                        chosen = Some(choice.clone());
                    }
                }
                for device in devices {
                    let selected = !typing && present.to_string() == device.id;
                    let entry = ui.selectable_label(selected, plain::name(&device.name));
                    if entry.on_hover_text(plain::message(&device.formats.join("\n"))).clicked() {
                        chosen = device.id.parse().ok();
                    }
                }
                let file = kind.path_hint.is_some() && ui.selectable_label(typing, "File…").clicked();
                if file && self.path.is_none() {
                    self.path =
                        Some(if (kind.is_file)(present) { present.to_string() } else { String::new() });
                }
            });
            response.response.labelled_by(label);
        });
        if chosen.is_some() {
            *self = Self::default();
        } else if self.path.is_some() || (kind.is_file)(present) {
            chosen = self.path_ui(ui, kind, kind.path_hint.unwrap_or_default(), present);
        }
        chosen
    }

    fn path_ui<C>(&mut self, ui: &mut Ui, kind: &Kind<C>, hint: &str, present: &C) -> Option<C>
    where
        C: PartialEq + Display + FromStr<Err = String>,
    {
        let draft = self.path.get_or_insert_with(|| present.to_string());
        let mut chosen = None;
        row_ui(ui, "", |ui, _| {
            let edit = TextEdit::singleline(draft)
                .desired_width(f32::INFINITY)
                .margin(Margin::symmetric(10, 7))
                .hint_text(hint);
            let field = ui.add(edit).accessible_name(format!("{} file", kind.label));
            if field.lost_focus() && !draft.trim().is_empty() {
                match draft.parse::<C>() {
                    Ok(choice) if (kind.is_file)(&choice) => {
                        self.error = None;
                        chosen = Some(choice).filter(|choice| choice != present);
                    }
                    Ok(_) => self.error = Some(format!("a file's name must look like {hint}")),
                    Err(error) => self.error = Some(error),
                }
            }
        });
        if let Some(error) = &self.error {
            row_ui(ui, "", |ui, _| {
                ui.add(Label::new(RichText::new(plain::message(error)).small().color(theme::RED)).wrap());
            });
        }
        chosen
    }
}

/// The words for the present choice; a device that is not plugged in keeps its id.
fn shown<C: PartialEq + Display>(fixed: &[(&str, C)], devices: &[Device], present: &C) -> String {
    if let Some((words, _)) = fixed.iter().find(|(_, choice)| choice == present) {
        return (*words).to_owned();
    }
    let id = present.to_string();
    devices
        .iter()
        .find(|device| device.id == id || device.name == id)
        .map_or_else(|| format!("{} (not there)", plain::name(&id)), |device| plain::name(&device.name))
}

/// A label at the left and something at the right, which gets the label's id.
pub(super) fn row_ui(ui: &mut Ui, label: &str, contents: impl FnOnce(&mut Ui, Id)) {
    ui.horizontal(|ui| {
        let size = vec2(LABEL_WIDTH, 30.0);
        let words = RichText::new(label).color(theme::TEXT);
        let left = Layout::left_to_right(Align::Center);
        let id = ui.allocate_ui_with_layout(size, left, |ui| {
            ui.set_width(LABEL_WIDTH);
            ui.add(Label::new(words).truncate()).id
        });
        contents(ui, id.inner);
    });
}
