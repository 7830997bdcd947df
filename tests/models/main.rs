//! Trained models: learnt here and with scikit-learn from the same 20 000 profiles, and asked the same questions.
//! tests/data/models/make.py makes what is compared with.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "onnx")]
mod exported;
mod people;
mod trained;
