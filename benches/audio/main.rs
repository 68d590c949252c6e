#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the run, as in the tests")]
mod lab;
mod network;
use lab::{Repair, Way};
use std::process::Command;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let pick = args.first().cloned().unwrap_or_default();
    let seeds: u64 = args.get(1).map_or(1, |s| s.parse().unwrap());
    let ways = [
        Way { name: "fec", bits_per_second: 48_000, fec: true, repair: Repair::Inband },
        Way { name: "plc", bits_per_second: 48_000, fec: false, repair: Repair::Inband },
        Way { name: "fec32", bits_per_second: 32_000, fec: true, repair: Repair::Inband },
        Way { name: "red32", bits_per_second: 32_000, fec: false, repair: Repair::Red },
        Way { name: "red24", bits_per_second: 24_000, fec: false, repair: Repair::Red },
        Way { name: "redfec32", bits_per_second: 32_000, fec: true, repair: Repair::Red },
        Way { name: "nack30", bits_per_second: 48_000, fec: true, repair: Repair::Nack(30.0) },
        Way { name: "nack80", bits_per_second: 48_000, fec: true, repair: Repair::Nack(80.0) },
        Way { name: "nack150", bits_per_second: 48_000, fec: true, repair: Repair::Nack(150.0) },
    ];
    for path in network::PATHS {
        for way in ways.iter().filter(|w| pick.split(',').any(|p| p == w.name)) {
            print!("{:24} {:9}", path.name, way.name);
            let mut all = Vec::new();
            let mut last = None;
            for v in ["en-us-0", "en-us+f3-1"] {
                for seed in 0..seeds {
                    let mut r = hound::WavReader::open(format!("/tmp/po/{v}.wav")).unwrap();
                    let voice: Vec<f32> =
                        r.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32768.0).collect();
                    let heard = lab::run(&voice, 3, path, *way, 0x5eed + 77 * seed);
                    let file = format!("/tmp/po/lab.wav");
                    let spec = hound::WavSpec {
                        channels: 2,
                        sample_rate: 48_000,
                        bits_per_sample: 16,
                        sample_format: hound::SampleFormat::Int,
                    };
                    let mut w = hound::WavWriter::create(&file, spec).unwrap();
                    // the second and third saying: settled
                    for (a, b) in &heard.samples[voice.len()..] {
                        w.write_sample((a * 32767.0) as i16).unwrap();
                        w.write_sample((b.clamp(-1.0, 1.0) * 32767.0) as i16).unwrap();
                    }
                    w.finalize().unwrap();
                    let out = Command::new("/work/wt/playout/.cache/python/bin/python")
                        .arg("/work/wt/playout/tests/common/score_speech.py")
                        .args([format!("{file}:0"), format!("{file}:1")])
                        .output()
                        .unwrap();
                    let j: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
                    print!(" {:.2}@{:.0}", j["pesq"].as_f64().unwrap(), j["delay_ms"].as_f64().unwrap());
                    all.push(j["pesq"].as_f64().unwrap());
                    last = Some(heard);
                }
            }
            let h = last.unwrap();
            println!(
                "  mean {:.2}  {:.0} kbit/s buf {:.0} conc {} rep {} short {} len {} late {}",
                all.iter().sum::<f64>() / all.len() as f64,
                h.bits_per_second / 1e3,
                h.buffered_ms,
                h.stats.concealed / 480,
                h.stats.repaired,
                h.stats.shortened,
                h.stats.lengthened,
                h.stats.late
            );
        }
    }
}
