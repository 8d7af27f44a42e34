//! The two languages that saoma speaks.

/// A language that saoma speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// The first of the two in an `Accept-Language` by weight; Chinese where neither stands (RFC 9110 section 12.5.4).
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::Zh);
        for part in header.split(',').take(16) {
            let (tag, params) = part.trim().split_once(';').unwrap_or((part.trim(), ""));
            let weight =
                params.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse).unwrap_or(0.0);
            if let Some(lang) = Self::tagged(tag)
                && weight > best.0
            {
                best = (weight, lang);
            }
        }
        best.1
    }

    /// The first of the two in `ui_locales`, a space-separated list of tags (OIDC Core 3.1.2.1).
    pub fn among(locales: &str) -> Option<Self> {
        locales.split(' ').find_map(Self::tagged)
    }

    /// By the words of the environment, such as `zh_CN.UTF-8`; English if it says nothing.
    pub fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Self::Zh } else { Self::En }
    }

    /// By a tag's first part, however it is written (RFC 5646 section 2.1.1).
    fn tagged(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?;
        [Self::Zh, Self::En].into_iter().find(|lang| primary.eq_ignore_ascii_case(lang.tag()))
    }

    /// As HTML and the element name it.
    pub fn tag(self) -> &'static str {
        self.s("zh", "en")
    }

    /// One of the two.
    pub fn s<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_answered_in_their_language() {
        for (text, lang) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-GB,en;q=0.9", Lang::En),
            ("fr-FR,en;q=0.5", Lang::En),
            ("en;q=0.3, zh;q=0.7", Lang::Zh),
            ("de", Lang::Zh),
            ("", Lang::Zh),
            ("en;q=abc", Lang::Zh),
        ] {
            assert_eq!(Lang::accepted(text), lang, "{text}");
        }
    }

    #[test]
    fn a_command_speaks_the_language_of_its_environment() {
        let of = ["zh_CN.UTF-8", "C", ""].map(Lang::of_locale);
        assert_eq!(of, [Lang::Zh, Lang::En, Lang::En]);
    }
}
