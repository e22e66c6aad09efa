//! Rebuilds the crate when a migration is added, because the compiler cannot see that.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/auth");
}
