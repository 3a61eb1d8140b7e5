#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vm_agent::fuzz::smolvm_frames(input));
