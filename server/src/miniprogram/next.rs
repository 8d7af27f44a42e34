//! What to do with a mini program that was written: the way into WeChat's console.

use std::path::Path;

use super::{Filled, site};
use crate::{config::Settings, lang::Lang};

/// The steps, and what to mind before them.
pub(super) fn text(settings: &Settings, out: &Path, filled: &Filled, lang: Lang) -> String {
    let (folder, appid) = (out.display(), &filled.appid);
    let (version, origin) = (&filled.version, &settings.public_url);
    let (name, name_en) = (&filled.name, &filled.name_en);
    // From 2.24.4 WeChat itself checks the pictures that people choose.
    let library = if settings.miniprogram.profile { "2.24.4" } else { "2.23.4" };
    let upload = format!(
        "npx --yes miniprogram-ci@2 upload --pp {} --pkp private.{appid}.key --appid {appid} --uv {version} -r 1 --use-project-config true",
        quoted(out)
    );
    let mut text = match lang {
        Lang::En => format!(
            "The mini program stands in {folder}: {name} ({name_en}), version {version}, AppID {appid}.

The console is https://mp.weixin.qq.com. Under 开发管理 > 开发设置 > 服务器域名, the row request 合法域名 must be, to the letter:

    {origin}

Under 设置 > 基本设置 > 基础库最低版本 choose {library}.
Then either
  with DevTools (微信开发者工具): import the folder as it is, look at it, and press 上传;
or without, with Node.js and WeChat's own miniprogram-ci:
  1. Under 开发管理 > 开发设置 > 小程序代码上传 make an upload key and save it as private.{appid}.key.
     It lets its holder upload: keep it out of repositories.
  2. On the same page add this computer's outgoing address to the IP list (IP 白名单).
  3. {upload}

After the upload, under 版本管理: make it the trial version (体验版), or hand it in (提交审核) and, once it has passed, press 发布.
`saoma doctor --plan` prints the whole road.
"
        ),
        Lang::Zh => format!(
            "小程序已写到 {folder}：{name}（{name_en}），版本 {version}，AppID {appid}。

打开 https://mp.weixin.qq.com，在“开发管理 > 开发设置 > 服务器域名”的 request 合法域名里填，一字不差：

    {origin}

在“设置 > 基本设置 > 基础库最低版本”里选 {library}。
上传有两个办法，选一个：
  用微信开发者工具：导入这个文件夹，看一眼，点“上传”。
  不用开发者工具，用 Node.js 和微信的 miniprogram-ci：
  1. 在“开发管理 > 开发设置 > 小程序代码上传”生成上传密钥，存成 private.{appid}.key。
     谁拿到它都能上传，不要放进代码仓库。
  2. 在同一页把这台电脑的出口地址加进 IP 白名单。
  3. {upload}

上传以后，在“版本管理”里设为体验版；或者提交审核，通过后点“发布”。
`saoma doctor --plan` 打印完整的步骤。
"
        ),
    };
    for note in notes(settings, lang) {
        text.push_str(match lang {
            Lang::En => "\nNote: ",
            Lang::Zh => "\n注意：",
        });
        text.push_str(&note);
    }
    text.trim_end().to_owned()
}

fn notes(settings: &Settings, lang: Lang) -> Vec<String> {
    let (origin, own) = (&settings.public_url, &settings.miniprogram);
    let notes = [
        (
            settings.is_loopback(),
            format!(
                "public_url = \"{origin}\" 是本机，手机连不到。在开发者工具里看看可以（详情 > 本地设置 > 不校验合法域名），不要上传。"
            ),
            format!(
                "public_url = \"{origin}\" is this machine: no phone reaches it. Good for looking at it in DevTools (详情 > 本地设置 > 不校验合法域名), not for an upload."
            ),
        ),
        (
            own.operator.is_empty() || own.contact.is_empty(),
            "审核会看是谁在运营：请设置 miniprogram.operator 和 miniprogram.contact。".to_owned(),
            "Reviewers look for who runs it: set miniprogram.operator and miniprogram.contact."
                .to_owned(),
        ),
        (
            !settings.sites.iter().any(|one| site(one).is_some()),
            "首页还没有写给哪个网站用：登记网站（`saoma site add`）以后再生成一次。".to_owned(),
            "The home page names no site yet: register one (`saoma site add`) and write it again."
                .to_owned(),
        ),
        (
            own.filing.is_empty(),
            "小程序备案以后，设置 miniprogram.filing，再生成一次并上传。".to_owned(),
            "Once the mini program is filed (备案), set miniprogram.filing, write it again and upload that.".to_owned(),
        ),
        (
            own.profile,
            "它会询问昵称和头像：先在“设置 > 服务内容声明 > 用户隐私保护指引”里声明这两项。".to_owned(),
            "It asks for nickname and avatar: declare both under 设置 > 服务内容声明 > 用户隐私保护指引 first.".to_owned(),
        ),
    ];
    let held = notes.into_iter().filter(|(holds, ..)| *holds);
    held.map(|(_, zh, en)| if lang == Lang::Zh { zh } else { en }).collect()
}

/// A path as a shell takes it whole.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
