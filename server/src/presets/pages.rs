//! The pages of docs/sites, made from `presets.toml` in both languages.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::{Preset, Text, Values, all};
use crate::lang::Lang;

fn of(lang: Lang, text: &Text) -> &str {
    lang.s(&text.zh, &text.en)
}

/// What a page's name ends in.
fn end(lang: Lang) -> &'static str {
    lang.s(".zh-CN.md", ".md")
}

fn page(preset: &Preset, lang: Lang) -> String {
    let values = Values {
        issuer: "https://login.example.com",
        id: &preset.name,
        secret: lang.s("命令打印的密钥", "the secret that the command shows"),
        url: "https://app.example.com",
    };
    let paste = preset.paste(&values);
    let mut text = format!("# {}\n\n", of(lang, &preset.title));
    let (read, tried) = (of(lang, &preset.read), of(lang, &preset.tried));
    let _ = match (lang, preset.is_tried()) {
        (Lang::En, true) => writeln!(text, "Tried here: {tried}.\nWritten from {read}.\n"),
        (Lang::En, false) => writeln!(text, "**Not tried here yet.**\nWritten from {read}.\n"),
        (Lang::Zh, true) => writeln!(text, "这里试过：{tried}。\n依据：{read}。\n"),
        (Lang::Zh, false) => writeln!(text, "**这里还没有试过。**\n依据：{read}。\n"),
    };
    let more = if preset.makes_its_own_address() {
        " --redirect-uri https://app.example.com/callback/..."
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "```sh\nsaoma site add --app {} --url {}{more}\n```\n\n{}\n\n## {}\n\n{}\n",
        preset.name,
        values.url,
        lang.s(
            "登记站点，并打印下面这些值，里面已经换成你自己的。管理台“站点 > 添加站点”里也有。",
            "registers it and prints the values below with your own in them.\nThe console does the same under Sites > Add a site."
        ),
        lang.s("填什么", "What to paste"),
        of(lang, &paste.place),
    );
    if !paste.fields.is_empty() {
        text.push_str(lang.s("| 栏目 | 值 |\n|---|---|\n", "| field | value |\n|---|---|\n"));
        for (field, value) in &paste.fields {
            let _ = writeln!(text, "| {field} | `{}` |", of(lang, value).replace('|', "\\|"));
        }
        text.push('\n');
    }
    if !paste.config.is_empty() {
        let _ = writeln!(text, "```\n{}\n```\n", paste.config);
    }
    does(&mut text, preset, lang, values.url);
    if !paste.notes.is_empty() {
        let _ = writeln!(text, "\n## {}\n", lang.s("注意", "Mind"));
        for note in &paste.notes {
            let _ = writeln!(text, "- {}", of(lang, note));
        }
    }
    text
}

/// What saoma does for it.
fn does(text: &mut String, preset: &Preset, lang: Lang, url: &str) {
    let _ = writeln!(text, "## {}\n", lang.s("saoma 替它做了什么", "What saoma does for it"));
    for path in &preset.redirects {
        let _ = match lang {
            Lang::En => writeln!(text, "- Answers go to `{url}{path}`, to the letter."),
            Lang::Zh => writeln!(text, "- 登录后回到 `{url}{path}`，一字不差。"),
        };
    }
    let told = &preset.backchannel;
    if !told.is_empty() {
        let _ = match lang {
            Lang::En => writeln!(text, "- It is told of ended logins at `{url}{told}`."),
            Lang::Zh => writeln!(text, "- 登录结束时通知 `{url}{told}`。"),
        };
    }
    let key = of(lang, &preset.key);
    let _ = match lang {
        Lang::En => writeln!(text, "- It knows an account again by: {key}."),
        Lang::Zh => writeln!(text, "- 它认账号的依据：{key}。"),
    };
    let lines = [
        (
            preset.pkce,
            "它会发 PKCE，不发就拒绝。",
            "It sends a PKCE challenge, and is refused without one.",
        ),
        (
            !preset.pkce,
            "它可以不发 PKCE（`pkce = \"if-sent\"`）：授权码只靠密钥保护。",
            "It may come without a PKCE challenge (`pkce = \"if-sent\"`): its secret alone protects the code.",
        ),
        (
            preset.id_token_claims,
            "名字、头像、组和邮箱也放进 id_token（`id_token_claims = true`）。",
            "Name, picture, groups and address stand in the id_token too (`id_token_claims = true`).",
        ),
        (
            preset.pin_name,
            "`name` 是固定的用户名（`name_claim = \"username\"`）：用昵称的话，改名就能冒充别人。",
            "`name` is the fixed user name (`name_claim = \"username\"`): a nickname could take over another's account.",
        ),
        (
            preset.email,
            "本人在手机上勾选后，它会得到一个虚构的邮箱：`{username}@users.` 加 saoma 的域名（`email = ...`）。",
            "It gets a made-up address, `{username}@users.` and saoma's host, once the person has ticked it on the phone (`email = ...`).",
        ),
    ];
    for (_, zh, en) in lines.into_iter().filter(|(holds, ..)| *holds) {
        let _ = writeln!(text, "- {}", lang.s(zh, en));
    }
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sites"))
}

/// Compares a page with what it should say; with `SAOMA_WRITE` set it writes it.
fn says(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("SAOMA_WRITE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, text, "{name}: run SAOMA_WRITE=1 cargo test -p saoma --lib presets::");
}

#[test]
fn the_pages_say_what_the_command_says() {
    let presets = all();
    for lang in [Lang::Zh, Lang::En] {
        let mut rows = String::new();
        for preset in presets {
            let name = format!("{}{}", preset.name, end(lang));
            says(&name, &page(preset, lang));
            let tried = match preset.is_tried() {
                true => lang.s("试过", "yes"),
                false => lang.s("还没有", "not yet"),
            };
            let title = of(lang, &preset.title);
            let _ = writeln!(rows, "| [{title}]({name}) | `--app {}` | {tried} |", preset.name);
        }
        let name = format!("README{}", end(lang));
        let index = fs::read_to_string(folder().join(&name)).unwrap();
        let head = lang.s("| 应用 | | 试过吗 |", "| application | | tried here |");
        let (before, rest) = index.split_once(head).unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        says(&name, &format!("{before}{head}\n|---|---|---|\n{rows}\n{after}"));
    }
    let pages = fs::read_dir(folder()).unwrap().count();
    let others = ["README", "rainbow"].len();
    assert_eq!(pages, 2 * (presets.len() + others), "a page of nothing");
}
