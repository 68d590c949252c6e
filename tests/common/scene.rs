//! What a clip shows: scenes that loop without a seam.

use super::clip::{FRAMES, HEIGHT, WIDTH};
use clap::ValueEnum;

/// Edge of the tiles of texture and of noise, pixels.
const TILE: usize = 512;

/// What the camera of a clip is turned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scene {
    /// A ball before a wall that passes by, without noise: nothing in the picture stands still.
    Pan,
    /// Somebody who sways and talks, a wall and books that stand still, and the noise of a sensor all over: what the
    /// camera of a desktop sees.
    Person,
}

/// Draws the pictures of a scene.
pub(crate) struct Painter {
    scene: Scene,
    /// Smooth noise of camera-like detail, tiled.
    detail: Vec<u8>,
    /// Noise of a sensor: about normal, of a standard deviation of 2 in luma.
    noise: Vec<i8>,
}

/// Where the moving things are in one picture.
struct Pose {
    /// How far the wall has passed.
    pan: i32,
    /// Centre of the ball, or of the head.
    middle: (i32, i32),
    /// Half the heights of what opens and closes.
    mouth: i32,
    eyes: i32,
    /// Where the tile of noise is laid.
    noise: (usize, usize),
}

impl Painter {
    pub(crate) fn new(scene: Scene) -> Self {
        let mut random = Random::new();
        let raw: Vec<u8> = (0..TILE * TILE).map(|_| random.octet()).collect();
        let at = |x: usize, y: usize| u32::from(raw[(y % TILE) * TILE + x % TILE]);
        let smooth = |x: usize, y: usize| {
            let sum: u32 =
                (0..4).flat_map(|dy| (0..4).map(move |dx| (dx, dy))).map(|(dx, dy)| at(x + dx, y + dy)).sum();
            (sum / 16) as u8
        };
        let detail = (0..TILE * TILE).map(|index| smooth(index % TILE, index / TILE)).collect();
        // The sum of four octets has a mean of 510 and a standard deviation of 148.
        let mut grain = || ((0..4).map(|_| i32::from(random.octet())).sum::<i32>() - 510) / 74;
        let noise = (0..TILE * TILE).map(|_| grain() as i8).collect();
        Self { scene, detail, noise }
    }

    /// Draws both planes of chroma (blue, then red), and luma, of that picture of the loop.
    pub(crate) fn draw(&self, frame: usize, luma: &mut [u8], chroma: &mut [u8]) {
        let pose = self.pose(frame);
        for (index, pixel) in luma.iter_mut().enumerate() {
            *pixel = self.colour(index % WIDTH, index / WIDTH, &pose)[0];
        }
        let (width, height) = (WIDTH / 2, HEIGHT / 2);
        let (blue, red) = chroma.split_at_mut(width * height);
        for (index, (blue, red)) in blue.iter_mut().zip(red).enumerate() {
            let [_, b, r] = self.colour(2 * (index % width), 2 * (index / width), &pose);
            (*blue, *red) = (b, r);
        }
    }

    fn pose(&self, frame: usize) -> Pose {
        let turn = frame as f64 / FRAMES as f64 * std::f64::consts::TAU;
        let middle = match self.scene {
            Scene::Pan => (640.0 + 400.0 * turn.cos(), 400.0 + 200.0 * turn.sin()),
            Scene::Person => (600.0 + 40.0 * turn.sin(), 350.0 + 8.0 * (2.0 * turn).sin()),
        };
        let blinks = frame % 75 < 4;
        Pose {
            // By whole tiles in a loop.
            pan: (frame * TILE / FRAMES) as i32,
            middle: (middle.0 as i32, middle.1 as i32),
            mouth: 4 + (14.0 * (9.0 * turn).sin().abs()) as i32,
            eyes: if blinks { 2 } else { 9 },
            noise: (frame * 199 % TILE, frame * 331 % TILE),
        }
    }

    /// Luma, blue and red (BT.601 limited range) of a pixel.
    fn colour(&self, x: usize, y: usize, pose: &Pose) -> [u8; 3] {
        match self.scene {
            Scene::Pan => self.pan(x as i32, y as i32, pose),
            Scene::Person => {
                let (across, down) = pose.noise;
                let grain = self.noise[(y + down) % TILE * TILE + (x + across) % TILE];
                let [luma, blue, red] = self.person(x as i32, y as i32, pose);
                [
                    luma.saturating_add_signed(grain),
                    blue.saturating_add_signed(grain / 2),
                    red.saturating_add_signed(-grain / 2),
                ]
            }
        }
    }

    fn texture(&self, x: i32, y: i32) -> u8 {
        let place = |at: i32| at.rem_euclid(TILE as i32) as usize;
        self.detail[place(y) * TILE + place(x)]
    }

    fn pan(&self, x: i32, y: i32, pose: &Pose) -> [u8; 3] {
        let texture = self.texture(x + pose.pan, y) / 2;
        if is_in_ellipse(x - pose.middle.0, y - pose.middle.1, 90, 90) {
            return [200 - texture / 4, 90, 200];
        }
        let along = |place: i32, edge: usize, most: i32| (place * most / edge as i32) as u8;
        let shade = along(x, WIDTH, 60) + along(y, HEIGHT, 40);
        [16 + shade + texture, 108 + along(x, WIDTH, 40), 148 - along(y, HEIGHT, 40)]
    }

    fn person(&self, x: i32, y: i32, pose: &Pose) -> [u8; 3] {
        let (dx, dy) = (x - pose.middle.0, y - pose.middle.1);
        // Skin, hair and cloth move with the head; the shoulders half as much.
        let texture = self.texture(dx, dy);
        if is_in_ellipse(dx, dy - 75, 36, pose.mouth) {
            return [62 + texture / 16, 116, 160];
        }
        if is_in_ellipse(dx.abs() - 46, dy + 22, 15, pose.eyes) {
            return [48 + texture / 16, 128, 128];
        }
        if is_in_ellipse(dx, dy, 112, 148) {
            return [(146 - dx / 5) as u8 + texture / 8, 110, 152];
        }
        if is_in_ellipse(dx, dy + 22, 134, 165) {
            return [30 + texture / 3, 126, 132];
        }
        let body = x - (600 + pose.middle.0) / 2;
        if body.abs() < 52 && (120..330).contains(&dy) {
            return [(126 - dx / 5) as u8 + texture / 8, 112, 150];
        }
        if is_in_ellipse(body, y - 760, 370, 230) {
            let stripe = if (y / 14) % 2 == 0 { 18 } else { 0 };
            return [70 + stripe + self.texture(body, y) / 5, 142, 116];
        }
        self.room(x, y)
    }

    /// A wall, and from the 930th column on two shelves of books.
    fn room(&self, x: i32, y: i32) -> [u8; 3] {
        let texture = self.texture(x, y);
        if x < 930 || y > 560 {
            let shade = (x * 36 / WIDTH as i32 + y * 20 / HEIGHT as i32) as u8;
            return [112 + shade + texture / 10, 124, 130];
        }
        if y % 190 > 172 {
            return [74 + texture / 8, 118, 138];
        }
        // Backs of books: each its own shade and hue.
        let book = (x - 930) / 27 + y / 190 * 13;
        let mark = (book * 71 % 97) as u8;
        let gap = if (x - 930) % 27 < 2 { 34 } else { 0 };
        [(60 + mark + texture / 8).saturating_sub(gap), 108 + mark / 3, 148 - mark / 4]
    }
}

fn is_in_ellipse(dx: i32, dy: i32, half_width: i32, half_height: i32) -> bool {
    let (a, b) = (i64::from(half_width).pow(2), i64::from(half_height).pow(2));
    i64::from(dx).pow(2) * b + i64::from(dy).pow(2) * a < a * b
}

/// Marsaglia's xorshift of 64 bits ("Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x2545_F491_4F6C_DD1D)
    }

    fn octet(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as u8
    }
}
