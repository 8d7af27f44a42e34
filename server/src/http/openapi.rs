//! `openapi.json`: all of saoma's HTTP as OpenAPI 3.1 has it, for clients and for tools that test.
//!
//! Shapes are made from the types that handlers read and write, errors from their one table, examples from
//! docs/protocol.golden.json. Which call has which, the tables below say; `tests/stories/openapi.rs` holds the routes to
//! them both ways, and real answers to the shapes.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::reply::Manner;
use crate::error::Code;

mod apps;
mod calls;
mod operators;
mod people;

/// What the page, the phone and the golden file of the protocol say to each other.
const GOLDEN: &str = include_str!("../../../docs/protocol.golden.json");

/// The document of the public listener.
pub fn document() -> Value {
    let mut book = Book::new("saoma", "Sign in with WeChat by scanning, for any website.");
    calls::page(&mut book);
    calls::phone(&mut book);
    calls::account(&mut book);
    apps::oidc(&mut book);
    people::pages(&mut book);
    people::applications(&mut book);
    people::rainbow(&mut book);
    operators::monitors(&mut book);
    book.bound()
}

/// The document of the operators' listener.
pub fn operators_document() -> Value {
    let mut book =
        Book::new("saoma, for operators", "Never on the public listener; see admin_listen.");
    operators::monitors(&mut book);
    operators::neighbours(&mut book);
    operators::console(&mut book);
    book.bound()
}

pub(super) async fn public() -> Response {
    published(document())
}

pub(super) async fn for_operators() -> Response {
    published(operators_document())
}

fn published(document: Value) -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, Json(document)).into_response()
}

/// A document while it is written.
struct Book {
    title: &'static str,
    about: &'static str,
    tag: &'static str,
    tags: Vec<Value>,
    paths: BTreeMap<&'static str, Map<String, Value>>,
    /// Names the shapes as they are read, and as they are written: where a default stands in for what is left out the two
    /// differ.
    read: SchemaGenerator,
    written: SchemaGenerator,
    golden: Map<String, Value>,
}

impl Book {
    fn new(title: &'static str, about: &'static str) -> Self {
        let settings = || {
            SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into())
        };
        Self {
            title,
            about,
            tag: "",
            tags: Vec::new(),
            paths: BTreeMap::new(),
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
            golden: serde_json::from_str(GOLDEN).unwrap_or_default(),
        }
    }

    /// The calls that follow are of this chapter.
    fn chapter(&mut self, name: &'static str, about: &str) {
        self.tag = name;
        self.tags.push(json!({ "name": name, "description": about }));
    }

    fn get(&mut self, path: &'static str, summary: &str) -> Call<'_> {
        self.call("get", path, summary)
    }

    fn post(&mut self, path: &'static str, summary: &str) -> Call<'_> {
        self.call("post", path, summary)
    }

    fn call(&mut self, method: &'static str, path: &'static str, summary: &str) -> Call<'_> {
        let words =
            path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let id = std::iter::once(method).chain(words).collect::<Vec<_>>().join("_");
        let mut value = Map::new();
        value.insert("operationId".to_owned(), json!(id));
        value.insert("summary".to_owned(), json!(summary));
        value.insert("tags".to_owned(), json!([self.tag]));
        let mut call = Call { book: self, method, path, value, problems: BTreeMap::new() };
        let pieces = path.split(['{', '}']).skip(1).step_by(2);
        for piece in pieces {
            call.parameter("path", piece, true, &json!({ "type": "string", "minLength": 1 }));
        }
        call
    }

    /// The whole document, which says where it stands itself.
    fn bound(mut self) -> Value {
        self.get("/openapi.json", "This document").answers::<Map<String, Value>>(200, &[]);
        let mut schemas = self.read.take_definitions(true);
        schemas.extend(self.written.take_definitions(true));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "description": self.about,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            // Relative to where this is served; a file of it wants the address named.
            "servers": [{ "url": "/" }],
            "tags": self.tags,
            "paths": self.paths,
            "components": { "schemas": schemas, "securitySchemes": security() },
        })
    }
}

fn security() -> Value {
    let cookie = |name: &str, about: &str| json!({ "type": "apiKey", "in": "cookie", "name": name, "description": about });
    let bearer = |about: &str| json!({ "type": "http", "scheme": "bearer", "description": about });
    json!({
        "browser": cookie("__Host-saoma", "The browser that opened a page of saoma's own; `saoma` on plain http."),
        "console_browser": cookie("__Host-saoma-console", "The browser that opened a page of the console; `saoma-console` on plain http."),
        "session": cookie("__Host-saoma-session", "A browser that is signed in; `saoma-session` on plain http."),
        "scan": bearer("What a scan gave the phone, good for its ticket alone."),
        "phone": bearer("What `/api/phone/session` gave, for the mini program's own pages."),
        "access_token": bearer("What `/oauth2/token` gave."),
        "site": { "type": "http", "scheme": "basic", "description": "client_id and client_secret, each form-encoded (RFC 6749 section 2.3.1); or both in the form." },
    })
}

/// One call while it is described; written into its book as it ends.
struct Call<'a> {
    book: &'a mut Book,
    method: &'static str,
    path: &'static str,
    value: Map<String, Value>,
    problems: BTreeMap<u16, Vec<Code>>,
}

impl Call<'_> {
    fn list(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        self.value.entry(name).or_insert_with(|| json!([])).as_array_mut()
    }

    fn parameter(&mut self, place: &str, name: &str, required: bool, schema: &Value) {
        let parameter =
            json!({ "in": place, "name": name, "required": required, "schema": schema });
        if let Some(list) = self.list("parameters") {
            list.push(parameter);
        }
    }

    fn answer(&mut self, status: u16, answer: Value) {
        let answers = self.value.entry("responses").or_insert_with(|| json!({}));
        if let Some(answers) = answers.as_object_mut() {
            answers.insert(status.to_string(), answer);
        }
    }

    /// What it does, where the summary is too short.
    fn says(mut self, text: &str) -> Self {
        self.value.insert("description".to_owned(), json!(text));
        self
    }

    /// Each of these lets a caller in.
    fn needs(mut self, schemes: &[&str]) -> Self {
        for scheme in schemes {
            let mut one = Map::new();
            one.insert((*scheme).to_owned(), json!([]));
            if let Some(list) = self.list("security") {
                list.push(Value::Object(one));
            }
        }
        self
    }

    /// The page must say where it stands.
    fn origin(mut self) -> Self {
        let schema = json!({ "type": "string", "format": "uri" });
        self.parameter("header", "Origin", true, &schema);
        self.refuses(&[Code::OriginNotAllowed])
    }

    /// What a trusted proxy says of the request to an application.
    fn forwarded(mut self) -> Self {
        for name in ["X-Forwarded-Proto", "X-Forwarded-Host"] {
            self.parameter("header", name, true, &json!({ "type": "string" }));
        }
        for name in ["X-Forwarded-Method", "X-Forwarded-Uri"] {
            self.parameter("header", name, false, &json!({ "type": "string" }));
        }
        self
    }

    /// A query of this shape.
    fn query<T: JsonSchema>(mut self) -> Self {
        let shape = T::json_schema(&mut self.book.read);
        let required: Vec<&str> = required(&shape);
        let properties = shape.get("properties").and_then(Value::as_object).cloned();
        for (name, schema) in properties.unwrap_or_default() {
            self.parameter("query", &name, required.contains(&name.as_str()), &schema);
        }
        self
    }

    /// A query of texts, each of which may be left out.
    fn texts(mut self, names: &[&str]) -> Self {
        for name in names {
            self.parameter("query", name, false, &json!({ "type": "string" }));
        }
        self
    }

    /// A JSON body of this shape.
    fn body<T: JsonSchema>(mut self) -> Self {
        // No body at all is one without fields.
        let needed = !required(&T::json_schema(&mut self.book.read)).is_empty();
        let schema = self.book.read.subschema_for::<T>();
        self.sends("application/json", needed, &schema.into());
        let of_bodies = [
            Code::InvalidRequest,
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
        ];
        self.refuses(&of_bodies)
    }

    /// A form of this shape.
    fn form<T: JsonSchema>(mut self) -> Self {
        let schema = self.book.read.subschema_for::<T>();
        self.sends("application/x-www-form-urlencoded", false, &schema.into());
        self
    }

    /// A form of texts, each of which may be left out.
    fn form_of(mut self, names: &[&str]) -> Self {
        let text = |name: &&str| ((*name).to_owned(), json!({ "type": "string" }));
        let properties: Map<String, Value> = names.iter().map(text).collect();
        let schema = json!({ "type": "object", "properties": properties });
        self.sends("application/x-www-form-urlencoded", false, &schema);
        self
    }

    fn sends(&mut self, content_type: &str, needed: bool, schema: &Value) {
        let content = content(content_type, json!({ "schema": schema }));
        let body = json!({ "required": needed, "content": content });
        self.value.insert("requestBody".to_owned(), body);
    }

    /// JSON of this shape, of which the golden file has these examples.
    fn answers<T: JsonSchema>(self, status: u16, examples: &[&str]) -> Self {
        let about = reason(status);
        self.answers_as::<T>(status, "application/json", about, examples)
    }

    fn answers_as<T: JsonSchema>(
        mut self,
        status: u16,
        content_type: &str,
        about: &str,
        examples: &[&str],
    ) -> Self {
        let mut media = json!({ "schema": self.book.written.subschema_for::<T>() });
        let golden = |name: &&str| {
            let value = self.book.golden.get(*name)?;
            Some(((*name).to_owned(), json!({ "value": value })))
        };
        let examples: Map<String, Value> = examples.iter().filter_map(golden).collect();
        if let (Some(media), false) = (media.as_object_mut(), examples.is_empty()) {
            media.insert("examples".to_owned(), Value::Object(examples));
        }
        let content = content(content_type, media);
        self.answer(status, json!({ "description": about, "content": content }));
        self
    }

    /// An answer without a body.
    fn done(mut self, status: u16) -> Self {
        self.answer(status, json!({ "description": reason(status) }));
        self
    }

    /// Something else than JSON, in one of these forms.
    fn gives(mut self, status: u16, about: &str, content_types: &[&str]) -> Self {
        let forms: Map<String, Value> =
            content_types.iter().map(|it| ((*it).to_owned(), json!({}))).collect();
        self.answer(status, json!({ "description": about, "content": forms }));
        self
    }

    /// A page for people.
    fn shows(self, about: &str) -> Self {
        self.gives(200, about, &["text/html"])
    }

    /// The browser goes on elsewhere.
    fn leads(mut self, about: &str) -> Self {
        let schema = json!({ "type": "string", "format": "uri-reference" });
        let headers = json!({ "Location": { "required": true, "schema": schema } });
        self.answer(303, json!({ "description": about, "headers": headers }));
        self
    }

    /// A page for people that says what is wrong.
    fn shows_errors(mut self, codes: &[Code]) -> Self {
        for (status, codes) in by_status(codes) {
            let form = content("text/html", json!({}));
            self.answer(status, json!({ "description": words(&codes), "content": form }));
        }
        self
    }

    /// Problems that it may answer, beside those that any call may.
    fn refuses(mut self, codes: &[Code]) -> Self {
        self.add(codes);
        self
    }

    fn add(&mut self, codes: &[Code]) {
        for code in codes {
            let of_status = self.problems.entry(code.row().status).or_default();
            if !of_status.contains(code) {
                of_status.push(*code);
            }
        }
    }

    /// Errors in OAuth's words (RFC 6749 section 5.2).
    fn oauth_errors(mut self, status: u16, words: &[&str]) -> Self {
        let named = named(&self.book.written.subschema_for::<apps::OauthProblem>(), "error", words);
        let form = content("application/json", json!({ "schema": named }));
        self.answer(status, json!({ "description": words.join(", "), "content": form }));
        self
    }
}

impl Drop for Call<'_> {
    /// What any call may answer is added to what was said, and all of it is kept.
    fn drop(&mut self) {
        self.add(&[Code::TooManyRequests, Code::Internal, Code::Unavailable]);
        for (status, codes) in std::mem::take(&mut self.problems) {
            let names: Vec<_> = codes.iter().map(|code| code.row().code).collect();
            let shape = named(&self.book.written.subschema_for::<Problem>(), "code", &names);
            let oauth = self.book.written.subschema_for::<apps::OauthProblem>();
            let mut media = json!({ "schema": shape });
            let golden =
                [(Code::NoSuchTicket, "problem"), (Code::OwnerAsked, "problem.owner_asked")];
            let shown = golden.into_iter().filter(|(code, _)| codes.contains(code));
            let examples: Map<_, _> = shown
                .map(|(_, name)| (name.to_owned(), json!({ "value": self.book.golden.get(name) })))
                .collect();
            if let (Some(media), false) = (media.as_object_mut(), examples.is_empty()) {
                media.insert("examples".to_owned(), Value::Object(examples));
            }
            let answers = self.value.entry("responses").or_insert_with(|| json!({}));
            let Some(answers) = answers.as_object_mut() else { continue };
            let answer = answers
                .entry(status.to_string())
                .or_insert_with(|| json!({ "description": words(&codes), "content": {} }));
            let Some(forms) = answer.get_mut("content").and_then(Value::as_object_mut) else {
                continue;
            };
            let (form, media) = match Manner::at(self.path) {
                Manner::Problem => ("application/problem+json", media),
                Manner::Oauth => ("application/json", json!({ "schema": oauth })),
                Manner::Page | Manner::SignOut | Manner::Forget | Manner::Application => {
                    ("text/html", json!({}))
                }
            };
            forms.entry(form).or_insert(media);
        }
        let value = Value::Object(std::mem::take(&mut self.value));
        self.book.paths.entry(self.path).or_default().insert(self.method.to_owned(), value);
    }
}

/// A problem (RFC 9457), as `/api` answers it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`reply.rs` writes it once the caller's language is known")]
struct Problem {
    #[schemars(extend("const" = "about:blank"))]
    r#type: String,
    /// In English.
    title: String,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// A stable word.
    code: String,
    /// In the caller's language: Chinese, or English.
    detail: String,
}

/// A shape of which one text is among a few words.
fn named(shape: &Schema, property: &str, words: &[&str]) -> Value {
    let mut one = Map::new();
    one.insert(property.to_owned(), json!({ "enum": words }));
    json!({ "allOf": [shape, { "properties": one }] })
}

fn content(content_type: &str, media: Value) -> Value {
    let mut forms = Map::new();
    forms.insert(content_type.to_owned(), media);
    Value::Object(forms)
}

fn required(shape: &Schema) -> Vec<&str> {
    let names = shape.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn by_status(codes: &[Code]) -> BTreeMap<u16, Vec<Code>> {
    let mut by = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        by.entry(code.row().status).or_default().push(*code);
    }
    by
}

fn words(codes: &[Code]) -> String {
    let lines = codes.iter().map(|code| {
        let row = code.row();
        format!("`{}`: {}", row.code, row.en)
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

fn reason(status: u16) -> &'static str {
    let status = axum::http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_a_page_is_told_by_a_page_what_is_wrong() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let shows = |call: &Value| call["responses"]["200"]["content"]["text/html"].is_object();
        let pages =
            paths.iter().filter(|(_, calls)| calls.as_object().unwrap().values().any(shows));
        let pages: Vec<_> = pages.map(|(path, _)| path.as_str()).collect();
        assert!(pages.contains(&"/login") && pages.contains(&"/forget/scan"), "{pages:?}");
        for path in pages {
            let manner = Manner::at(path);
            assert!(![Manner::Problem, Manner::Oauth].contains(&manner), "{path}: {manner:?}");
        }
    }
}
