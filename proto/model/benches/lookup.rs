//! What finding a route costs, by host and path among many: `cargo bench -p tyrscale-model`.

use divan::{Bencher, black_box};
use hashbrown::{Equivalent, HashMap};
use tyrscale_model::{RouteKey, RouteKeyRef};

fn main() {
    divan::main();
}

/// As the gateway's table is asked.
#[derive(Hash)]
struct Asked<'a>(RouteKeyRef<'a>);

impl Equivalent<RouteKey> for Asked<'_> {
    fn equivalent(&self, key: &RouteKey) -> bool {
        self.0 == *key
    }
}

#[divan::bench(args = [1, 1_000, 10_000])]
fn find(bencher: Bencher<'_, '_>, routes: u32) {
    let key = |number| RouteKey::normalize(&format!("host-{number}.example"), "/eth");
    let table: HashMap<RouteKey, u32> = (0..routes).map(|number| (key(number), number)).collect();
    bencher.bench(|| {
        let asked = RouteKeyRef::normalize(black_box("host-0.example"), black_box("/eth"));
        table.get(&Asked(asked)).copied()
    });
}

#[divan::bench(args = ["a.example", "A.Example:8545", "[::1]:8545"])]
fn normalize(host: &str) -> bool {
    RouteKeyRef::normalize(black_box(host), black_box("/eth/v1"))
        == RouteKey::normalize("a.example", "/eth/v1")
}
