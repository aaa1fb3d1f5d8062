//! The fixed words of the pages, in each language.

use std::time::Duration;

use super::contents::{ActionKind, SignInNotice};
use super::{Language, civil_time};
use crate::base::clock::Timestamp;

pub(super) struct Words {
    pub(super) language: Language,
    pub(super) tag: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) choose: &'static str,
    pub(super) no_choices: &'static str,
    pub(super) get_help: &'static str,
    pub(super) already_signed_in: &'static str,
    pub(super) signed_in_as: &'static str,
    pub(super) continue_on: &'static str,
    pub(super) switch_account: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) signed_out_here: &'static str,
    pub(super) signed_out_elsewhere: &'static str,
    pub(super) sign_in_again: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) sign_out_title: &'static str,
    pub(super) sign_out_question: &'static str,
    pub(super) your_account: &'static str,
    pub(super) username: &'static str,
    pub(super) groups: &'static str,
    pub(super) none: &'static str,
    pub(super) unknown: &'static str,
    pub(super) signed_in_with: &'static str,
    pub(super) signed_in_since: &'static str,
    pub(super) session_ends: &'static str,
    pub(super) form_lost: &'static str,
    pub(super) last_time: &'static str,
    pub(super) what_to_do: &'static str,
    pub(super) for_support: &'static str,
    pub(super) redirecting: &'static str,
    pub(super) redirecting_hint: &'static str,
}

static ENGLISH: Words = Words {
    language: Language::English,
    tag: Language::English.tag(),
    sign_in: "Sign in",
    choose: "Choose the account that you want to use.",
    no_choices: "There is no way to sign in at the moment. Please try again later.",
    get_help: "Get help",
    already_signed_in: "You are already signed in",
    signed_in_as: "Signed in as",
    continue_on: "Continue",
    switch_account: "Use another account",
    signed_out: "You are signed out",
    signed_out_here: "Your session has ended on this device. You may still be signed in at your identity provider.",
    signed_out_elsewhere: "Your session has ended on this device. A part of this service that remembers sessions does not answer at the moment; other servers follow as soon as it is back.",
    sign_in_again: "Sign in again",
    sign_out: "Sign out",
    sign_out_title: "Sign out?",
    sign_out_question: "This ends your session for every application behind this sign-in. If you did not ask for it, just close this page.",
    your_account: "Your account",
    username: "Username",
    groups: "Groups",
    none: "None",
    unknown: "Not known",
    signed_in_with: "Signed in with",
    signed_in_since: "Signed in since",
    session_ends: "Session ends at the latest",
    form_lost: "What you sent was not delivered. Go back in your browser to keep your text, sign in in another tab, then send it again.",
    last_time: "What happened last",
    what_to_do: "What you can do",
    for_support: "If you ask for help, include this",
    redirecting: "One moment",
    redirecting_hint: "Taking you to the next page. If nothing happens, use the button.",
};

static CHINESE: Words = Words {
    language: Language::Chinese,
    tag: Language::Chinese.tag(),
    sign_in: "登录",
    choose: "请选择要使用的账号。",
    no_choices: "目前没有可用的登录方式，请稍后再试。",
    get_help: "获取帮助",
    already_signed_in: "您已登录",
    signed_in_as: "当前账号：",
    continue_on: "继续",
    switch_account: "使用其他账号",
    signed_out: "您已退出登录",
    signed_out_here: "本设备上的会话已结束。您在身份提供方处可能仍处于登录状态。",
    signed_out_elsewhere: "本设备上的会话已结束。负责保存会话的组件目前没有响应；恢复后，其他服务器会立即同步。",
    sign_in_again: "重新登录",
    sign_out: "退出登录",
    sign_out_title: "要退出登录吗？",
    sign_out_question: "这将结束您在此登录下所有应用中的会话。如果不是您本人的操作，直接关闭此页面即可。",
    your_account: "您的账号",
    username: "用户名",
    groups: "用户组",
    none: "无",
    unknown: "未知",
    signed_in_with: "登录方式",
    signed_in_since: "登录时间",
    session_ends: "会话最晚到期时间",
    form_lost: "您提交的内容没有送达。请在浏览器中返回上一页以保留内容，在另一个标签页中登录，然后重新提交。",
    last_time: "最近一次的情况",
    what_to_do: "您可以这样做",
    for_support: "寻求帮助时，请附上以下信息",
    redirecting: "请稍候",
    redirecting_hint: "正在前往下一页。如果没有自动跳转，请点击继续。",
};

impl Words {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

impl Language {
    pub(super) fn sign_in_to(self, name: Option<&str>) -> String {
        match (self, name) {
            (Self::English, Some(name)) => format!("Sign in to {name}"),
            (Self::Chinese, Some(name)) => format!("登录 {name}"),
            (_, None) => Words::of(self).sign_in.to_owned(),
        }
    }

    pub(super) fn continue_with(self, provider: &str) -> String {
        match self {
            Self::English => format!("Continue with {provider}"),
            Self::Chinese => format!("使用 {provider} 登录"),
        }
    }

    pub(super) fn action(self, action: &ActionKind) -> &'static str {
        let (english, chinese) = match action {
            ActionKind::TryAgain => ("Try again", "重试"),
            ActionKind::SignIn => ("Sign in", "登录"),
            ActionKind::SwitchAccount => ("Use another account", "使用其他账号"),
            ActionKind::SignOut => ("Sign out", "退出登录"),
            ActionKind::GoHome => ("Go to the start page", "返回首页"),
        };
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    pub(super) fn notice(self, notice: SignInNotice) -> &'static str {
        let (english, chinese) = match notice {
            SignInNotice::SignedOut => ("You are signed out.", "您已退出登录。"),
            SignInNotice::SessionEnded => (
                "Your session has ended. Please sign in again.",
                "您的会话已结束，请重新登录。",
            ),
            SignInNotice::AttemptFailed => (
                "The last sign-in did not work. You can try again.",
                "上次登录没有成功，您可以再试一次。",
            ),
        };
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    pub(super) fn ends_in(self, left: Duration) -> String {
        let left = civil_time::length(self, left);
        match self {
            Self::English => format!("in {left}"),
            Self::Chinese => format!("{left}后"),
        }
    }

    /// Follows what happened.
    pub(super) fn since(self, at: Timestamp) -> String {
        let time = civil_time::time(self, at);
        match self {
            Self::English => format!(" The service has been out of reach since {time}."),
            Self::Chinese => format!("该服务自 {time}起无法连接。"),
        }
    }

    pub(super) fn wait(self, wait: Duration) -> String {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let wait = civil_time::length(self, Duration::from_secs(seconds.max(1)));
        match self {
            Self::English => format!(" It is worth trying again in {wait}."),
            Self::Chinese => format!("建议在 {wait}后重试。"),
        }
    }
}
