//! Where an address is, by a file that the operator gives: a MaxMind-format mmdb, or an ip2region xdb.
//!
//! A region warns and never reassures: it can be bought. What phones show is as fine as the file knows; what is compared
//! is country and province, since cities of mobile networks are guesses.

use std::{
    net::IpAddr,
    path::Path,
    sync::{PoisonError, RwLock},
};

use serde::Deserialize;

/// Where an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// What phones show, such as "浙江杭州".
    pub name: String,
    /// Country and province, for comparing.
    pub area: String,
}

/// The operator's file; none: nobody's region is known.
pub struct Regions(RwLock<Option<Source>>);

enum Source {
    Mmdb(maxminddb::Reader<Vec<u8>>),
    Xdb(Xdb),
}

impl Regions {
    /// No file.
    pub fn none() -> Self {
        Self(RwLock::new(None))
    }

    /// Opens `region_db`; an empty path is no file.
    ///
    /// # Errors
    /// If the file cannot be read, or is neither of both formats.
    pub fn open(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self::none());
        }
        let unusable = |why: &dyn std::fmt::Display| {
            format!(
                "region_db = {path:?}: {why}; give a MaxMind-format .mmdb or an ip2region .xdb file, or leave it empty"
            )
        };
        let bytes = std::fs::read(Path::new(path)).map_err(|error| unusable(&error))?;
        Self::read(bytes).map_err(|error| unusable(&error))
    }

    /// Reads a file's bytes.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, maxminddb::MaxMindDbError> {
        if let Some(xdb) = Xdb::new(&bytes) {
            return Ok(Self(RwLock::new(Some(Source::Xdb(xdb)))));
        }
        Ok(Self(RwLock::new(Some(Source::Mmdb(maxminddb::Reader::from_source(bytes)?)))))
    }

    /// From now on what `fresh` knows is known.
    pub fn take_over(&self, fresh: Self) {
        let fresh = fresh.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Where this address is, if the file knows.
    pub fn of(&self, address: IpAddr) -> Option<Region> {
        let address = address.to_canonical();
        match self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref()? {
            Source::Xdb(xdb) => region(&places(xdb.find(address)?)),
            Source::Mmdb(reader) => in_mmdb(reader, address),
        }
    }

    /// Whether both are known and lie in different provinces.
    pub fn differ(&self, one: IpAddr, other: IpAddr) -> bool {
        let areas = self.of(one).zip(self.of(other));
        areas.is_some_and(|(one, other)| one.area != other.area)
    }
}

/// Country, province, city: as far as they are known, in that order.
fn region(places: &[&str]) -> Option<Region> {
    let known = |place: &&&str| !place.is_empty() && **place != "0";
    let area: Vec<&str> = places.iter().take(2).filter(known).copied().collect();
    let mut finest: Vec<&str> = places.iter().skip(1).filter(known).copied().collect();
    if finest.is_empty() {
        finest.clone_from(&area);
    }
    // A province that is a city has the same name twice.
    finest.dedup();
    // Chinese names are written together, others apart.
    let gap = if finest.iter().any(|place| place.is_ascii()) { " " } else { "" };
    let area = area.join("/");
    (!area.is_empty()).then(|| Region { name: finest.join(gap), area })
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    country: Option<Named<'a>>,
    #[serde(borrow, default)]
    subdivisions: Vec<Named<'a>>,
    #[serde(borrow, default)]
    city: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    names: Names<'a>,
}

#[derive(Deserialize, Default)]
struct Names<'a> {
    #[serde(rename = "zh-CN")]
    zh: Option<&'a str>,
    en: Option<&'a str>,
}

fn in_mmdb(reader: &maxminddb::Reader<Vec<u8>>, address: IpAddr) -> Option<Region> {
    let found = reader.lookup(address).and_then(|found| found.decode::<Entry<'_>>());
    let entry = match found {
        Ok(entry) => entry?,
        Err(error) => {
            tracing::debug!(name: "region.unreadable", %error, "an entry of region_db cannot be read");
            return None;
        }
    };
    let name = |named: Option<&Named<'_>>| {
        named.and_then(|named| named.names.zh.or(named.names.en)).unwrap_or_default().to_owned()
    };
    let places =
        [name(entry.country.as_ref()), name(entry.subdivisions.first()), name(entry.city.as_ref())];
    region(&places.each_ref().map(String::as_str))
}

/// "country|province|city|isp|iso" as files since 2025 have it, or "country|area|province|city|isp" as older ones do.
fn places(text: &str) -> Vec<&str> {
    let fields: Vec<&str> = text.split('|').collect();
    let is_iso = |field: &&str| field.len() == 2 && field.chars().all(|c| c.is_ascii_uppercase());
    match fields.as_slice() {
        [country, province, city, _, iso] if is_iso(iso) => vec![country, province, city],
        [country, _, province, city, _] => vec![country, province, city],
        [country, province, city, ..] => vec![country, province, city],
        fields => fields.to_vec(),
    }
}

/// An ip2region file: 256 bytes of header, an index by the first two bytes of an address, texts, and segments in the order
/// of their addresses. Version 2 holds IPv4; version 3 says which.
struct Xdb {
    bytes: Vec<u8>,
    v6: bool,
}

impl Xdb {
    const HEADER: usize = 256;

    fn new(bytes: &[u8]) -> Option<Self> {
        let version = number(bytes, 0, 2)?;
        let policy = number(bytes, 2, 2)?;
        let v6 = match (version, number(bytes, 16, 2)?) {
            (2, _) | (3, 4) => false,
            (3, 6) => true,
            _ => return None,
        };
        let xdb = Self { bytes: bytes.to_vec(), v6 };
        let (first, last) = (number(bytes, 8, 4)?, number(bytes, 12, 4)?);
        let whole = first <= last && last + xdb.step() <= bytes.len();
        (matches!(policy, 1 | 2) && whole && first >= Self::HEADER).then_some(xdb)
    }

    /// Bytes of an address, and of a segment: first and last address, length and place of the text.
    fn wide(&self) -> usize {
        if self.v6 { 16 } else { 4 }
    }

    fn step(&self) -> usize {
        2 * self.wide() + 6
    }

    fn find(&self, address: IpAddr) -> Option<&str> {
        let octets = match (address, self.v6) {
            (IpAddr::V4(address), false) => address.octets().to_vec(),
            (IpAddr::V6(address), true) => address.octets().to_vec(),
            _ => return None,
        };
        let [row, column] = octets.first_chunk::<2>()?.map(usize::from);
        let entry = Self::HEADER + (row * 256 + column) * 8;
        let (first, last) = (number(&self.bytes, entry, 4)?, number(&self.bytes, entry + 4, 4)?);
        let mut low = 0;
        let mut high = last.checked_sub(first)? / self.step();
        while low <= high {
            let middle = usize::midpoint(low, high);
            let at = first + middle * self.step();
            if octets < self.address(at)? {
                high = middle.checked_sub(1)?;
            } else if octets > self.address(at + self.wide())? {
                low = middle + 1;
            } else {
                let long = number(&self.bytes, at + 2 * self.wide(), 2)?;
                let text = number(&self.bytes, at + 2 * self.wide() + 2, 4)?;
                return std::str::from_utf8(self.bytes.get(text..text + long)?).ok();
            }
        }
        None
    }

    /// The address at this place, biggest byte first: IPv4 is kept the other way round.
    fn address(&self, at: usize) -> Option<Vec<u8>> {
        let mut octets = self.bytes.get(at..at + self.wide())?.to_vec();
        if !self.v6 {
            octets.reverse();
        }
        Some(octets)
    }
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, wide: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(wide)?)?;
    Some(digits.iter().rev().fold(0, |number, digit| number << 8 | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An xdb file of these ranges, in order.
    fn xdb(version: u16, kind: u16, ranges: &[(&str, &str, &str)]) -> Vec<u8> {
        let octets = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let mut file = vec![0; 256 + 256 * 256 * 8];
        let texts: Vec<usize> = ranges
            .iter()
            .map(|(_, _, text)| {
                file.extend(text.as_bytes());
                file.len() - text.len()
            })
            .collect();
        let start = file.len();
        let mut at = start;
        for ((first, last, text), place) in ranges.iter().zip(texts) {
            let [mut low, mut high] = [octets(first), octets(last)];
            let [from, to] = [&low, &high].map(|o| usize::from(o[0]) * 256 + usize::from(o[1]));
            for cell in from..=to {
                let entry = 256 + cell * 8;
                if file[entry..entry + 4] == [0; 4] {
                    file[entry..entry + 4]
                        .copy_from_slice(&u32::try_from(at).unwrap().to_le_bytes());
                }
                file[entry + 4..entry + 8]
                    .copy_from_slice(&u32::try_from(at).unwrap().to_le_bytes());
            }
            if low.len() == 4 {
                low.reverse();
                high.reverse();
            }
            file.extend(low);
            file.extend(high);
            file.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            file.extend(u32::try_from(place).unwrap().to_le_bytes());
            at = file.len();
        }
        let last = at - if kind == 6 { 38 } else { 14 };
        file[0..2].copy_from_slice(&version.to_le_bytes());
        file[2..4].copy_from_slice(&1u16.to_le_bytes());
        file[8..12].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
        file[12..16].copy_from_slice(&u32::try_from(last).unwrap().to_le_bytes());
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file
    }

    fn opened(bytes: &[u8]) -> Result<Regions, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regions");
        std::fs::write(&path, bytes).unwrap();
        Regions::open(path.to_str().unwrap())
    }

    fn name(regions: &Regions, address: &str) -> Option<String> {
        regions.of(address.parse().unwrap()).map(|region| region.name)
    }

    #[test]
    fn an_xdb_file_of_either_age_is_read() {
        let older = opened(&xdb(
            2,
            0,
            &[
                ("1.0.0.0", "1.0.0.255", "中国|0|浙江省|杭州市|电信"),
                ("1.0.1.0", "1.3.255.255", "中国|0|上海|上海|联通"),
                ("8.8.8.0", "8.8.8.255", "美国|0|0|0|0"),
            ],
        ))
        .unwrap();
        assert_eq!(name(&older, "1.0.0.7").unwrap(), "浙江省杭州市");
        assert_eq!(name(&older, "1.2.3.4").unwrap(), "上海");
        assert_eq!(name(&older, "8.8.8.8").unwrap(), "美国");
        assert_eq!(name(&older, "8.8.9.8"), None);
        assert_eq!(name(&older, "2001:db8::1"), None);
        let newer =
            opened(&xdb(3, 6, &[("2001:db8::", "2001:db8:ffff::", "中国|广东省|深圳市|移动|CN")]))
                .unwrap();
        assert_eq!(name(&newer, "2001:db8::1").unwrap(), "广东省深圳市");
        assert_eq!(name(&newer, "2001:db9::1"), None);
    }

    #[test]
    fn an_mmdb_file_is_read() {
        use maxminddb_writer::{Database, paths::IpAddrWithMask};
        let mut database = Database::default();
        database.metadata.binary_format_major_version = 2;
        let hangzhou = serde_json::json!({
            "country": { "iso_code": "CN", "names": { "en": "China", "zh-CN": "中国" } },
            "subdivisions": [{ "names": { "en": "Zhejiang", "zh-CN": "浙江" } }],
            "city": { "names": { "en": "Hangzhou", "zh-CN": "杭州" } },
        });
        let hangzhou = database.insert_value(hangzhou).unwrap();
        let oxford = serde_json::json!({
            "country": { "names": { "en": "United Kingdom" } }, "subdivisions": [{ "names": { "en": "England" } }],
            "city": { "names": { "en": "Oxford" } },
        });
        let oxford = database.insert_value(oxford).unwrap();
        let network = |text: &str| text.parse::<IpAddrWithMask>().unwrap();
        database.insert_node(network("1.0.0.0/16"), hangzhou);
        database.insert_node(network("2.0.0.0/16"), oxford);
        let regions = opened(&database.write_to(Vec::new()).unwrap()).unwrap();
        assert_eq!(name(&regions, "1.0.3.4").unwrap(), "浙江杭州");
        assert_eq!(name(&regions, "2.0.3.4").unwrap(), "England Oxford");
        assert_eq!(name(&regions, "3.0.0.1"), None);
    }

    #[test]
    fn a_newer_file_takes_the_place_of_the_one_before_it() {
        let file = |city: &str| {
            let text = format!("中国|0|浙江省|{city}|电信");
            opened(&xdb(2, 0, &[("1.0.0.0", "1.0.0.255", &text)])).unwrap()
        };
        let regions = file("杭州市");
        let before = name(&regions, "1.0.0.7").unwrap();
        regions.take_over(file("宁波市"));
        assert_ne!(name(&regions, "1.0.0.7").unwrap(), before);
    }

    #[test]
    fn provinces_differ_and_cities_do_not() {
        let regions = opened(&xdb(
            2,
            0,
            &[
                ("1.0.0.0", "1.0.255.255", "中国|0|浙江省|杭州市|电信"),
                ("1.1.0.0", "1.1.255.255", "中国|0|浙江省|宁波市|电信"),
                ("1.2.0.0", "1.2.255.255", "中国|0|广东省|深圳市|电信"),
            ],
        ))
        .unwrap();
        let differ =
            |one: &str, other: &str| regions.differ(one.parse().unwrap(), other.parse().unwrap());
        assert!(!differ("1.0.0.1", "1.1.0.1"));
        assert!(differ("1.0.0.1", "1.2.0.1"));
        assert!(!differ("1.0.0.1", "9.9.9.9"), "what is unknown does not differ");
    }

    #[test]
    fn a_file_that_is_neither_stops_the_start_and_says_so() {
        for bytes in [
            &b""[..],
            b"GIF89a",
            &[0; 4096],
            &[2, 0, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0],
        ] {
            let said = opened(bytes).err().unwrap();
            assert!(said.contains("region_db") && said.contains(".xdb"), "{said}");
        }
        assert!(Regions::open("/nowhere/at/all").is_err());
    }

    #[test]
    fn a_damaged_xdb_file_finds_nothing_and_breaks_nothing() {
        let whole = xdb(2, 0, &[("1.0.0.0", "1.0.0.255", "中国|0|浙江省|杭州市|电信")]);
        for at in (0..20).chain(2304..2312).chain(whole.len() - 14..whole.len()) {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                if let Some(xdb) = Xdb::new(&damaged) {
                    let _ = xdb.find("1.0.0.7".parse().unwrap());
                }
            }
        }
    }
}
