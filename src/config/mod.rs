//! Configuration: read strictly (`raw`), then checked into the types that the rest of the program uses.

mod checked;

pub use checked::*;
