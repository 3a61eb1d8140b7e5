//! Generated inputs for every fuzz target, on the stable toolchain: seeds that are right, bent a little. The coverage-guided
//! runs are in fuzz/. `FUZZ_INPUTS` says how many inputs each target gets, `FUZZ_SEED` where the generator starts.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::time::Instant;
use vm_agent::fuzz::TARGETS;

const INPUTS: u64 = 200_000;
const LONGEST: usize = 4096;
const MAGIC: &[u8] = b"\xff\x74\x45\xd0\x1c\x5d\x6b\xa4\x42\xf6\x08\x54\x3c\xa0\xf7\x7a";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that mean something somewhere.
fn tokens() -> Vec<Vec<u8>> {
    let words: &[&[u8]] = &[
        MAGIC,
        PREFACE,
        b"\x01",
        b"\x02",
        b"\0\0\0\0\0",
        b"\0\0\0\x04\0\0\0\0\0",
        b"\0\x00\x08\x06\0\0\0\0\x01",
        b"{\"op\":\"run\",\"v\":1,\"cmd\":\"true\",\"timeout\":1.5,\"env\":{\"A\":\"b\"}}",
        b"{\"op\":\"put_file\",\"path\":\"/x\",\"size\":5,\"mode\":420}",
        b"{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
        b"\x05\0\0\0\0",
        b"\x04\0\0\0\x03abc",
        b"1e999",
        b"\\ud800",
        b"\"",
        b"\xff",
        b"\x0a\x03abc",
        b"\x12\x02\x08\x01",
        b"/tmp/**/{a,b}/[!x]*",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    ];
    let mut tokens: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
    tokens.push([MAGIC, &[1; 17], PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat());
    let json = words[7];
    tokens.push([&b"\x01\0\0\0"[..], &[json.len() as u8], json].concat());
    tokens.push([&b"\0\0\0\0\x05"[..], b"\x0a\x03abc"].concat());
    tokens
}

/// xorshift64*: enough to bend inputs with, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

fn bend(input: &mut Vec<u8>, random: &mut Random, tokens: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next() as u8,
        2 => input.truncate(at),
        3 => {
            let end = at + random.below(input.len() - at + 1).min(64);
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        4 => {
            let end = at + random.below(input.len() - at + 1).min(64);
            input.drain(at..end);
        }
        5 => input.insert(at, random.next() as u8),
        _ => {
            let token = &tokens[random.below(tokens.len())];
            input.splice(at..at, token.iter().copied());
        }
    }
    input.truncate(LONGEST);
}

/// What came behind the input's first byte in one frame: of type 1 as SmolVM has it, or of gRPC, whose flag is 0.
fn frame(kind: u8, input: &[u8]) -> Vec<u8> {
    let (cut, payload) = input.split_first().unwrap_or((&0, input));
    [&[*cut, kind][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

thread_local! {
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn no_input_breaks_what_reads_it() {
    let (inputs, seed) = (number("FUZZ_INPUTS", INPUTS), number("FUZZ_SEED", 1));
    // The input that a target failed on, for a test of its own.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        LAST.with_borrow(|input| eprintln!("failed on {input:?}"));
        report(panic);
    }));
    let tokens = tokens();
    for (name, target) in TARGETS {
        let started = Instant::now();
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // In front of all that is read stands the byte that says how reads are cut.
        let mut pool: Vec<Vec<u8>> = tokens.iter().map(|token| [&[8], token.as_slice()].concat()).collect();
        for _ in 0..inputs {
            let mut input = pool[random.below(pool.len())].clone();
            for _ in 0..=random.below(6) {
                bend(&mut input, &mut random, &tokens);
            }
            // Bent bytes are mostly no frame any more, and what is in a frame would hardly be looked at.
            let framed = match random.below(3) {
                0 => frame(1, &input),
                1 => frame(0, &input),
                _ => input.clone(),
            };
            LAST.with_borrow_mut(|last| last.clone_from(&framed));
            target(&framed);
            // Some bent ones are bent further.
            if random.below(50) == 0 {
                if pool.len() < 1000 {
                    pool.push(input);
                } else {
                    let at = tokens.len() + random.below(pool.len() - tokens.len());
                    pool[at] = input;
                }
            }
        }
        println!("{name}: {inputs} inputs in {:.1} s, seed {seed}", started.elapsed().as_secs_f64());
    }
}
