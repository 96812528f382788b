//! Writes the OpenAPI document to stdout; `cargo xtask openapi` keeps it as `openapi/v1.json`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().write_all(http_api::openapi().as_bytes())
}
