//! What happened, by the hour.

use super::{Db, rows::all, values};
use crate::{
    counts::{Count, LONGER, What},
    store::{Counted, Error},
};

pub(super) async fn add(db: &dyn Db, counts: &[Count]) -> Result<(), Error> {
    let sql = "INSERT INTO counts (hour, site, what, within, n) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (hour, site, what, within) DO UPDATE SET n = counts.n + excluded.n";
    for count in counts {
        let n = i64::try_from(count.n).unwrap_or(i64::MAX);
        let within = i64::from(count.within);
        let params = values![count.hour, &count.site, count.what.as_str(), within, n];
        db.send(sql, params).await?;
    }
    Ok(())
}

pub(super) async fn of(db: &dyn Db, asked: &Counted) -> Result<Vec<Count>, Error> {
    let Counted { since, until, step, shift, site, by_site, what } = asked;
    // Both are whole numbers and words of ours: they need no parameters, and PostgreSQL wants the same words in GROUP BY.
    let step = (*step).max(1);
    let first = format!("(hour + {shift}) / {step} * {step} - {shift}");
    let place = if *by_site { "site" } else { "''" };
    let kinds: Vec<String> = what.iter().map(|what| format!("'{}'", what.as_str())).collect();
    let kinds = if kinds.is_empty() {
        String::new()
    } else {
        format!("AND what IN ({})", kinds.join(", "))
    };
    // Hours after 1970 alone: whole numbers are cut towards nought.
    let sql = format!(
        "SELECT {first} AS first, {place} AS place, what, within, CAST(sum(n) AS BIGINT) AS n FROM counts
         WHERE hour >= ?1 AND hour < ?2 AND (CAST(?3 AS TEXT) IS NULL OR site = ?3) {kinds}
         GROUP BY 1, 2, what, within ORDER BY 1, 2, what, within"
    );
    all(db, &sql, values![*since, *until, site], |row| {
        let word: String = row.get("what")?;
        let what = What::parse(&word)
            .ok_or_else(|| Error::Away(format!("a count is of no known kind: {word}")))?;
        let within: i64 = row.get("within")?;
        Ok(Count {
            hour: row.get("first")?,
            site: row.get("place")?,
            what,
            within: u32::try_from(within).unwrap_or(LONGER),
            n: u64::try_from(row.get::<i64>("n")?).unwrap_or(0),
        })
    })
    .await
}

pub(super) async fn forget(db: &dyn Db, before: i64) -> Result<(), Error> {
    db.send("DELETE FROM counts WHERE hour < ?1", values![before]).await
}
