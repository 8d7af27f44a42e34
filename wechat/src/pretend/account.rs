//! What WeChat thinks of the account: each field is a fault that an operator meets in life.

use std::net::IpAddr;

use super::reply::{No, no};

/// What WeChat thinks of the account. The default is an account without faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The addresses that may call with the AppSecret; `None`: any (40164).
    pub ip_list: Option<Vec<IpAddr>>,
    /// The AppSecret is frozen (40243).
    pub secret_frozen: bool,
    /// An administrator has to confirm calls for a token, or has refused (89503, 89506, 89507).
    pub confirmation: Option<Confirmation>,
    /// The account is limited, barred or frozen (50002, 50004, 50007).
    pub banned: Option<Ban>,
    /// The token is another account type's, or the capability was not granted (48001).
    pub unauthorized: bool,
    /// Tell a token of impossible form (40014) from one that is merely unknown (40001).
    pub strict_token_form: bool,
    /// Who may open the trial and the development version; `None`: everybody.
    pub members: Option<Vec<String>>,
}

/// What an administrator said to a call for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing yet (89503).
    Waiting,
    /// No, for 24 hours (89506).
    RefusedForADay,
    /// No, for an hour (89507).
    RefusedForAnHour,
}

/// How an account is barred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ban {
    /// Limited (50002).
    Limited,
    /// Barred from tokens (50004).
    NoTokens,
    /// Frozen (50007).
    Frozen,
}

impl Account {
    pub(super) fn is_member(&self, person: &str) -> bool {
        self.members.as_ref().is_none_or(|members| members.iter().any(|member| member == person))
    }

    pub(super) fn check_address(&self, from: IpAddr) -> Result<(), No> {
        let from = from.to_canonical();
        match &self.ip_list {
            Some(list) if !list.iter().any(|listed| listed.to_canonical() == from) => {
                let v6 = match from {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                Err(no(40164, format!("invalid ip {from} ipv6 {v6}, not in whitelist")))
            }
            _ => Ok(()),
        }
    }

    /// Faults that show when a token is taken. The texts of 40243, 50007 and 895xx on the wire are
    /// not known; these are ours.
    pub(super) fn check_token_taking(&self) -> Result<(), No> {
        if self.secret_frozen {
            return Err(no(40243, "appsecret is frozen"));
        }
        match self.confirmation {
            Some(Confirmation::Waiting) => {
                return Err(no(89503, "此次调用需要管理员确认，请耐心等候"));
            }
            Some(Confirmation::RefusedForADay) => {
                return Err(no(89506, "该IP调用求请求已被公众号管理员拒绝，请24小时后再试"));
            }
            Some(Confirmation::RefusedForAnHour) => {
                return Err(no(89507, "该IP调用求请求已被公众号管理员拒绝，请1小时后再试"));
            }
            None => {}
        }
        self.check_ban()
    }

    /// Faults that show when a token is used.
    pub(super) fn check_token_use(&self) -> Result<(), No> {
        self.check_ban()?;
        if self.unauthorized { Err(no(48001, "api unauthorized")) } else { Ok(()) }
    }

    fn check_ban(&self) -> Result<(), No> {
        match self.banned {
            None => Ok(()),
            Some(Ban::Limited) => Err(no(50002, "user limited")),
            Some(Ban::NoTokens) => {
                Err(no(50004, "user not allow to use accesstoken, maybe for punishment"))
            }
            Some(Ban::Frozen) => Err(no(50007, "user frozen")),
        }
    }
}
