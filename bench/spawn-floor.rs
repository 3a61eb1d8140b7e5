//! Starts `true` and waits for it, as often as the first argument says: one process, no shell, no pipes. Prints the nanoseconds
//! of each round at the end, so that printing does not disturb the next round.

use std::process::Command;
use std::time::Instant;

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let times: Vec<String> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            let status = Command::new("/bin/true").status().expect("start /bin/true");
            assert!(status.success());
            start.elapsed().as_nanos().to_string()
        })
        .collect();
    println!("{}", times.join("\n"));
}
