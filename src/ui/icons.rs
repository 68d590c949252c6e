//! The icons, drawn with lines and circles so that they are sharp at every scale and need no font.
//!
//! Each is designed on a square of 24 units and painted into the square given.

use eframe::egui::epaint::{CircleShape, CubicBezierShape};
use eframe::egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, pos2};
use std::f32::consts::TAU;

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icon {
    Microphone,
    MicrophoneOff,
    Camera,
    CameraOff,
    Speaker,
    /// A receiver, lifted.
    Phone,
    /// A receiver, put down.
    HangUp,
    Chat,
    People,
    Settings,
    Expand,
    Shrink,
    Close,
    Send,
    Help,
    Copy,
    Lock,
    SignOut,
    Refresh,
}

/// Paints `icon` into the middle of `rect`.
pub(super) fn paint(painter: &Painter, rect: Rect, icon: Icon, color: Color32) {
    let pen = Pen::new(painter, rect, color);
    match icon {
        Icon::Microphone => pen.microphone(),
        Icon::MicrophoneOff => {
            pen.microphone();
            pen.slash();
        }
        Icon::Camera => pen.camera(),
        Icon::CameraOff => {
            pen.camera();
            pen.slash();
        }
        Icon::Phone => pen.receiver(-0.11 * TAU),
        Icon::HangUp => pen.receiver(0.25 * TAU),
        Icon::Chat => pen.chat(),
        Icon::People => pen.people(),
        Icon::Settings => pen.sliders(),
        Icon::Expand => pen.corners(9.0, 4.0),
        Icon::Shrink => pen.corners(4.0, 9.0),
        Icon::Close => {
            pen.line(&[(6.5, 6.5), (17.5, 17.5)]);
            pen.line(&[(17.5, 6.5), (6.5, 17.5)]);
        }
        Icon::Send => {
            pen.closed(&[(4.0, 4.5), (20.5, 12.0), (4.0, 19.5), (7.0, 12.0)]);
            pen.line(&[(7.0, 12.0), (13.0, 12.0)]);
        }
        Icon::Speaker => pen.speaker(),
        Icon::Help => pen.help(),
        Icon::Copy => {
            pen.rounded((8.5, 8.5), (19.5, 19.5), 2.0);
            pen.line(&[(5.5, 15.5), (4.5, 15.5), (4.5, 4.5), (15.5, 4.5), (15.5, 5.5)]);
        }
        Icon::Lock => {
            pen.rounded((6.0, 11.0), (18.0, 19.5), 2.0);
            pen.arc((12.0, 9.0), 3.6, 0.5, 1.0);
            pen.line(&[(8.4, 9.0), (8.4, 11.0)]);
            pen.line(&[(15.6, 9.0), (15.6, 11.0)]);
        }
        Icon::SignOut => {
            pen.line(&[(13.0, 4.5), (5.0, 4.5), (5.0, 19.5), (13.0, 19.5)]);
            pen.line(&[(10.0, 12.0), (20.0, 12.0)]);
            pen.line(&[(16.5, 8.5), (20.0, 12.0), (16.5, 15.5)]);
        }
        Icon::Refresh => {
            pen.arc((12.0, 12.0), 7.0, -0.02, 0.78);
            pen.line(&[(12.2, 1.8), (15.4, 5.2), (11.8, 8.2)]);
        }
    }
}

struct Pen<'a> {
    painter: &'a Painter,
    origin: Pos2,
    scale: f32,
    color: Color32,
    stroke: Stroke,
}

impl<'a> Pen<'a> {
    fn new(painter: &'a Painter, rect: Rect, color: Color32) -> Self {
        let side = rect.width().min(rect.height());
        let origin = rect.center() - eframe::egui::Vec2::splat(side / 2.0);
        let scale = side / 24.0;
        Self { painter, origin, scale, color, stroke: Stroke::new(1.7 * scale, color) }
    }

    fn at(&self, (x, y): (f32, f32)) -> Pos2 {
        self.origin + eframe::egui::vec2(x, y) * self.scale
    }

    /// An open line with round ends.
    fn line(&self, points: &[(f32, f32)]) {
        let points: Vec<Pos2> = points.iter().map(|point| self.at(*point)).collect();
        for end in [points.first(), points.last()].into_iter().flatten() {
            self.painter.add(CircleShape::filled(*end, self.stroke.width / 2.0, self.color));
        }
        self.painter.add(Shape::line(points, self.stroke));
    }

    fn closed(&self, points: &[(f32, f32)]) {
        let points = points.iter().map(|point| self.at(*point)).collect();
        self.painter.add(Shape::closed_line(points, self.stroke));
    }

    fn circle(&self, center: (f32, f32), radius: f32) {
        self.painter.circle_stroke(self.at(center), radius * self.scale, self.stroke);
    }

    fn dot(&self, center: (f32, f32), radius: f32) {
        self.painter.circle_filled(self.at(center), radius * self.scale, self.color);
    }

    /// From and to in turns, clockwise from the right.
    fn arc(&self, (x, y): (f32, f32), radius: f32, from: f32, to: f32) {
        let points: Vec<(f32, f32)> = (0..=24)
            .map(|step| {
                let angle = (from + (to - from) * step as f32 / 24.0) * TAU;
                (x + radius * angle.cos(), y + radius * angle.sin())
            })
            .collect();
        self.line(&points);
    }

    fn rounded(&self, min: (f32, f32), max: (f32, f32), radius: f32) {
        let rect = Rect::from_min_max(self.at(min), self.at(max));
        let kind = eframe::egui::StrokeKind::Middle;
        self.painter.rect_stroke(rect, radius * self.scale, self.stroke, kind);
    }

    fn slash(&self) {
        let (from, to) = (self.at((4.0, 4.0)), self.at((20.0, 20.0)));
        self.painter.line_segment([from, to], Stroke::new(2.0 * self.scale, self.color));
    }

    fn microphone(&self) {
        let body = Rect::from_min_max(self.at((9.0, 3.0)), self.at((15.0, 14.0)));
        self.painter.rect_filled(body, 3.0 * self.scale, self.color);
        self.arc((12.0, 11.0), 6.2, 0.0, 0.5);
        self.line(&[(12.0, 17.2), (12.0, 20.5)]);
        self.line(&[(8.8, 20.5), (15.2, 20.5)]);
    }

    fn camera(&self) {
        let body = Rect::from_min_max(self.at((3.0, 6.5)), self.at((15.5, 17.5)));
        self.painter.rect_filled(body, 2.5 * self.scale, self.color);
        let lens = [(16.8, 10.8), (21.0, 7.6), (21.0, 16.4), (16.8, 13.2)].map(|point| self.at(point));
        self.painter.add(Shape::convex_polygon(lens.to_vec(), self.color, Stroke::NONE));
    }

    /// A telephone receiver: a thick arc with a heavier cap at each end. `turn` rotates it, radians.
    fn receiver(&self, turn: f32) {
        let center = (12.0, 12.0);
        let rotate = |(x, y): (f32, f32)| {
            let (x, y) = (x - center.0, y - center.1);
            (center.0 + x * turn.cos() - y * turn.sin(), center.1 + x * turn.sin() + y * turn.cos())
        };
        // Upright: the back of the receiver at the left, both caps pointing right.
        let spine = [(14.6, 3.9), (6.4, 6.6), (6.4, 17.4), (14.6, 20.1)].map(|point| self.at(rotate(point)));
        let thick = Stroke::new(4.2 * self.scale, self.color);
        let curve = CubicBezierShape::from_points_stroke(spine, false, Color32::TRANSPARENT, thick);
        self.painter.add(curve);
        for end in [(14.9, 4.9), (14.9, 19.1)] {
            self.dot(rotate(end), 2.9);
        }
    }

    fn speaker(&self) {
        let horn = [(4.0, 9.0), (7.5, 9.0), (12.0, 5.0), (12.0, 19.0), (7.5, 15.0), (4.0, 15.0)];
        let horn = horn.map(|point| self.at(point)).to_vec();
        self.painter.add(Shape::convex_polygon(horn, self.color, Stroke::NONE));
        self.arc((12.5, 12.0), 4.2, -0.12, 0.12);
        self.arc((12.5, 12.0), 8.0, -0.12, 0.12);
    }

    fn chat(&self) {
        self.closed(&[
            (4.0, 5.0),
            (20.0, 5.0),
            (20.0, 16.5),
            (11.5, 16.5),
            (7.5, 20.0),
            (7.5, 16.5),
            (4.0, 16.5),
        ]);
        self.line(&[(8.0, 9.2), (16.0, 9.2)]);
        self.line(&[(8.0, 12.5), (13.0, 12.5)]);
    }

    fn people(&self) {
        self.circle((9.0, 8.5), 3.3);
        self.arc((9.0, 20.0), 6.2, 0.5, 1.0);
        self.arc((15.8, 8.5), 3.0, -0.2, 0.2);
        self.arc((15.2, 20.0), 6.0, 0.8, 1.0);
    }

    fn sliders(&self) {
        for (y, knob) in [(6.5, 15.5), (12.0, 8.5), (17.5, 14.0)] {
            self.line(&[(4.0, y), (knob - 2.3, y)]);
            self.line(&[(knob + 2.3, y), (20.0, y)]);
            self.circle((knob, y), 2.2);
        }
    }

    /// Four corners: the angle at `outer`, its legs ending at `inner` units from the edge.
    fn corners(&self, inner: f32, outer: f32) {
        for (right, bottom) in [(false, false), (true, false), (false, true), (true, true)] {
            let place =
                |x: f32, y: f32| (if right { 24.0 - x } else { x }, if bottom { 24.0 - y } else { y });
            self.line(&[place(inner, outer), place(outer, outer), place(outer, inner)]);
        }
    }

    fn help(&self) {
        self.circle((12.0, 12.0), 8.5);
        self.arc((12.0, 9.8), 2.6, 0.5, 1.12);
        self.line(&[(13.9, 11.6), (12.0, 13.1), (12.0, 14.0)]);
        self.dot((12.0, 16.8), 1.15);
    }
}

/// The program's mark: a speech bubble with a face of two eyes, drawn at any size.
pub(super) fn paint_mark(painter: &Painter, rect: Rect) {
    use super::theme;
    let side = rect.width().min(rect.height());
    let square = Rect::from_center_size(rect.center(), eframe::egui::Vec2::splat(side));
    painter.rect_filled(square, side * 0.24, theme::ACCENT_FILL);
    let at = |x: f32, y: f32| square.min + eframe::egui::vec2(x, y) * side;
    let bubble = Rect::from_min_max(at(0.2, 0.24), at(0.8, 0.68));
    painter.rect_filled(bubble, side * 0.13, Color32::WHITE);
    let tail = vec![at(0.32, 0.6), at(0.54, 0.66), at(0.33, 0.82)];
    painter.add(Shape::convex_polygon(tail, Color32::WHITE, Stroke::NONE));
    let body = Rect::from_min_max(at(0.3, 0.37), at(0.53, 0.55));
    painter.rect_filled(body, side * 0.04, theme::ACCENT_FILL);
    let lens = vec![at(0.56, 0.44), at(0.68, 0.37), at(0.68, 0.55), at(0.56, 0.48)];
    painter.add(Shape::convex_polygon(lens, theme::ACCENT_FILL, Stroke::NONE));
}

/// Signal strength, 0 (nothing known) to 4 bars.
pub(super) fn paint_bars(painter: &Painter, rect: Rect, bars: usize, color: Color32, rest: Color32) {
    let width = rect.width() / 5.5;
    for bar in 0..4 {
        let left = rect.left() + bar as f32 * width * 1.5;
        let height = rect.height() * (0.34 + 0.22 * bar as f32);
        let column =
            Rect::from_min_max(pos2(left, rect.bottom() - height), pos2(left + width, rect.bottom()));
        painter.rect_filled(column, width * 0.35, if bar < bars { color } else { rest });
    }
}
