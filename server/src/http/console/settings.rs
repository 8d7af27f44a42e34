//! The settings in force, and where each came from.

use askama::Template;
use axum::response::Response;

use super::{super::reply::html, Desk};
use crate::config::Source;

#[derive(Template)]
#[template(path = "console/settings.html")]
struct Page {
    desk: Desk,
    tables: Vec<Section>,
    version: &'static str,
}

/// One table of the settings.
struct Section {
    name: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    value: String,
    /// default, file, environment, secret-file.
    class: &'static str,
    source: String,
}

pub(in crate::http) async fn page(desk: Desk) -> Response {
    let l = desk.l;
    let mut tables: Vec<Section> = Vec::new();
    for line in &desk.app.settings.in_force.0 {
        let (table, name) = line.name.rsplit_once('.').unwrap_or(("", &line.name));
        let (class, source) = match &line.source {
            Source::Default => ("default", l.s("默认", "default").to_owned()),
            Source::File(path) => ("file", path.clone()),
            Source::Environment(name) => ("environment", name.clone()),
            Source::SecretFile(path) => ("secret-file", path.clone()),
        };
        let row = Row { name: name.to_owned(), value: line.value.clone(), class, source };
        match tables.iter_mut().find(|section| section.name == table) {
            Some(section) => section.rows.push(row),
            None => tables.push(Section { name: table.to_owned(), rows: vec![row] }),
        }
    }
    html(&Page { desk, tables, version: env!("CARGO_PKG_VERSION") })
}
