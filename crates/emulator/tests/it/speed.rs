//! A measurement, which asserts nothing about time.

use std::time::Instant;

use crate::support::client::{Client, append_request};
use crate::support::connection::Connection;
use crate::support::{TABLE, prompt, zstd};

/// How fast the rows of one connection land. In release:
/// `EMULATOR_TEST_ROWS=rows.ndjson cargo test --release -p snowpipe-emulator --test it -- --ignored --nocapture throughput`
#[test]
#[ignore = "a measurement"]
fn throughput_of_one_connection() {
    let all = std::env::var("EMULATOR_TEST_ROWS").map_or_else(|_| made_up_rows(), |file| std::fs::read(file).unwrap());
    let (small, large) = (whole_lines(&all, 4_000_000), whole_lines(&all, 16_000_000));
    for (name, encoding, body, rows) in [
        ("plain, 4 MB a request", "identity", small.to_vec(), small),
        ("zstd, 4 MB a request", "zstd", zstd(small), small),
        ("zstd, 16 MB a request", "zstd", zstd(large), large),
    ] {
        let count = 800_000_000 / rows.len();
        let emulator = prompt();
        let client = Client::scoped(&emulator);
        let mut connection = Connection::open(&emulator);
        let mut next = client.open("c");
        let start = Instant::now();
        for _ in 0..count {
            let request = append_request(&format!("continuationToken={next}"), &body);
            connection.write(&client.bytes(request.header("Content-Encoding", encoding)));
            next = connection.read_response().unwrap().next_token();
        }
        let seconds = start.elapsed().as_secs_f64();
        let lines = memchr::memchr_iter(b'\n', rows).count();
        assert_eq!(emulator.row_count(TABLE), (lines * count) as u64);
        println!("{name}: {:.0} MB/s", (count * rows.len()) as f64 / 1e6 / seconds);
    }
}

fn made_up_rows() -> Vec<u8> {
    let row = |n: usize| {
        format!(
            "{{\"YEAR\":2013,\"MONTH\":1,\"DAY\":{},\"DEP_TIME\":{},\"ARR_DELAY\":-{}.5,\"CARRIER\":\"UA\",\"FLIGHT\":{n},\
             \"TAILNUM\":\"N{:05}\",\"ORIGIN\":\"EWR\",\"DEST\":null,\"TIME_HOUR\":\"2013-01-{:02}T10:00:00Z\"}}\n",
            n % 28 + 1,
            n % 2400,
            n % 60,
            n * 7919 % 100_000,
            n % 28 + 1
        )
    };
    (0..100_000).flat_map(|n| row(n).into_bytes()).collect()
}

/// The longest beginning of a text that is not longer than `bytes` and ends with a whole line.
fn whole_lines(text: &[u8], bytes: usize) -> &[u8] {
    let cut = &text[..bytes.min(text.len())];
    &cut[..memchr::memrchr(b'\n', cut).unwrap() + 1]
}
