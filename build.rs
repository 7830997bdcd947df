//! The dashboard is embedded: when it is built anew, so is the crate.

fn main() {
    println!("cargo::rerun-if-changed=ui/dist");
}
