//! The owner's road in short, out of the page that tells it whole: one source, so that they cannot disagree.

use crate::lang::Lang;

const EN: &str = include_str!("../../../docs/from-zero.md");
const ZH: &str = include_str!("../../../docs/from-zero.zh-CN.md");

/// The steps, each with how long it takes and how long one waits.
pub fn text(lang: Lang) -> String {
    let (page, name, family) = match lang {
        Lang::En => (
            EN,
            "docs/from-zero.md",
            "For members alone, without filing and review, steps 1, 3, 4, 5 and 6 do:",
        ),
        Lang::Zh => (
            ZH,
            "docs/from-zero.zh-CN.md",
            "只给成员用，不备案、不审核，走第 1、3、4、5、6 步即可：",
        ),
    };
    let steps = page.lines().filter_map(|line| line.strip_prefix("### "));
    let steps: String = steps.map(|step| format!("  {}\n", step.replace("**", ""))).collect();
    let title = page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    format!(
        "{title}\n\n{steps}\n{family}\n  [wechat] env_version = \"trial\", check_path = false\n\n{name}: https://github.com/saoma/saoma/blob/main/{name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roads_have_the_same_twelve_steps_each_with_its_time() {
        let steps = |lang| {
            let text = text(lang);
            let steps: Vec<String> = text
                .lines()
                .filter_map(|line| line.strip_prefix("  "))
                .map(ToOwned::to_owned)
                .collect();
            steps.into_iter().filter(|step| !step.starts_with('[')).collect::<Vec<_>>()
        };
        let (en, zh) = (steps(Lang::En), steps(Lang::Zh));
        assert_eq!((en.len(), zh.len()), (12, 12), "{en:?} {zh:?}");
        for (n, (en, zh)) in en.iter().zip(&zh).enumerate() {
            assert!(en.starts_with(&format!("{}. ", n + 1)) && en.ends_with(')'), "{en}");
            assert!(zh.starts_with(&format!("第 {} 步", n + 1)) && zh.ends_with('）'), "{zh}");
        }
    }

    #[test]
    fn the_family_path_names_the_steps_that_its_page_names() {
        assert!(EN.contains("Do steps 1, 3, 4 and 5 below, then upload as in step 6."));
    }
}
