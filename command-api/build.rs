//! Builds anew when a migration was added, which the compiler cannot see.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/auth");
}
