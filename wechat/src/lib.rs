#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
mod breaker;
#[cfg(feature = "client")]
mod call;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod code;
#[cfg(feature = "client")]
pub mod crypto;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod quota;
#[cfg(feature = "client")]
mod refusal;
#[cfg(feature = "client")]
mod safety;
#[cfg(feature = "client")]
mod scene;
#[cfg(feature = "client")]
mod secret;
#[cfg(feature = "client")]
mod session;
#[cfg(feature = "client")]
pub mod token;

#[cfg(feature = "client")]
pub use call::Call;
#[cfg(feature = "client")]
pub use client::{BASE_URL, BuildError, Client, ClientBuilder, TokenEndpoint};
#[cfg(feature = "client")]
pub use code::{
    Code, EnvVersion, InvalidRequest, LineColor, Page, Picture, PictureKind, QrCode, UnlimitedCode,
    Width,
};
#[cfg(feature = "client")]
pub use error::{Api, Error, RestReason, Unreachable, Unreadable};
#[cfg(feature = "client")]
pub use quota::{Quota, QuotaUse, Tally};
#[cfg(feature = "client")]
pub use refusal::{Act, Refusal, Remedy};
#[cfg(feature = "client")]
pub use safety::{Suggestion, TextCheck, TextScene, Verdict};
#[cfg(feature = "client")]
pub use scene::{InvalidScene, Scene};
#[cfg(feature = "client")]
pub use secret::{AccessToken, InvalidJsCode, JsCode, SessionKey};
#[cfg(feature = "client")]
pub use session::Session;
#[cfg(feature = "client")]
pub use token::TokenStatus;

#[cfg(feature = "pretend")]
pub mod pretend;

/// What a fuzzer throws WeChat's answers at.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use call::answered;
