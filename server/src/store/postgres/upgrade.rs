//! Databases of every release before this one, brought up to date as a start does it. Their rows are those of SQLite's
//! (`sqlite/upgrade.rs`): the releases kept the same under the same names.

use rusqlite::{Connection, types::Value};
use tokio_postgres::Client;

use super::{MIGRATIONS, Postgres};
use crate::{
    servers::PostgresServer,
    store::{
        Store as _,
        sqlite::upgrade::{RELEASED, are_as_released, everybody_lives_on},
    },
};

/// What each step was when it was released, as in `sqlite/upgrade.rs`.
const STEPS: [&str; 1] = ["0c03bc3df8e6baa70fb0bed969544839fab6e329368ac929bee273b5c08a125b"];

/// A row's value in PostgreSQL's words: as a text without a type, which becomes what its column is.
fn word(value: Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => format!("'{n}'"),
        Value::Real(n) => format!("'{n}'"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("'\\x{}'", hex::encode(bytes)),
    }
}

/// The schema as so many steps make it, with the rows of this dump of SQLite's.
async fn lays_down(client: &Client, steps: usize, dump: &str) {
    for step in &MIGRATIONS[..steps] {
        client.batch_execute(step).await.unwrap();
    }
    // The dump's tables come in no order that foreign keys would let pass.
    let set = format!(
        "CREATE TABLE schema_version (n BIGINT NOT NULL); INSERT INTO schema_version VALUES ({steps});
         SET session_replication_role = replica; DELETE FROM revision"
    );
    client.batch_execute(&set).await.unwrap();
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    old.execute_batch(dump).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let mut tables = old.prepare(tables).unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let mut rows = old.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = rows.column_names().map(ToOwned::to_owned).collect();
        let columns = columns.join(", ");
        let count = rows.column_count();
        let rows = rows.query_map([], |row| {
            (0..count).map(|at| row.get(at).map(word)).collect::<Result<Vec<_>, _>>()
        });
        for row in rows.unwrap().map(Result::unwrap) {
            let insert = format!(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({})",
                row.join(", ")
            );
            client.batch_execute(&insert).await.unwrap();
        }
    }
    let next = "SELECT setval(pg_get_serial_sequence('audit', 'id'), (SELECT max(id) FROM audit))";
    client.batch_execute(next).await.unwrap();
}

/// Every column and index, as PostgreSQL tells of them.
async fn schema(client: &Client) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns
                 WHERE table_schema = 'public'
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
               UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
                 WHERE connamespace = 'public'::regnamespace ORDER BY 1";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_step_that_was_released_never_changes() {
    are_as_released(MIGRATIONS, &STEPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lives_in_an_older_database_lives_on_after_the_upgrade() {
    let server = PostgresServer::starts();
    let fresh = Postgres::open(&server.database("fresh")).await.unwrap();
    for (n, (dump, now)) in RELEASED.into_iter().enumerate() {
        let url = server.database(&format!("r{n}"));
        let client = super::pool(&url).unwrap().get().await.unwrap();
        lays_down(&client, n + 1, dump).await;
        let store = Postgres::open(&url).await.unwrap();
        everybody_lives_on(&store, now).await;
        let fresh = fresh.pool.get().await.unwrap();
        let (upgraded, made) = (schema(&client).await, schema(&fresh).await);
        assert_eq!(upgraded, made, "an upgraded database and a new one differ");
        store.ping().await.unwrap();
    }
}
