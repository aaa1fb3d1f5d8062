//! Reasons in simplified Chinese.

use super::Text;

pub(super) fn of_code(code: &str) -> Option<Text> {
    Some(match code {
        "login_state_unknown" => Text {
            title: "此次登录不是从这里发起的",
            happened: "身份提供方的应答返回到了一个并未发起此次登录的浏览器，或者间隔时间过长。没有任何内容被更改。",
            next: "请重新开始登录。如果再次看到此页面，请允许本网站使用 Cookie，并全程使用同一个浏览器。",
        },
        "login_state_expired" => Text {
            title: "登录超时",
            happened: "此次登录开始的时间过早，现已失效。您的账号没有问题。",
            next: "请重新开始登录，并一次完成。",
        },
        "login_spent" => Text {
            title: "此次登录已被使用",
            happened: "页面被刷新或重复打开，而一次登录只能使用一次。",
            next: "请重新开始登录。如果您已经登录，请直接返回应用。",
        },
        "login_denied" => Text {
            title: "登录已取消",
            happened: "身份提供方表示访问已被拒绝，可能是您本人取消，也可能是组织的规定。",
            next: "如果是误点了取消，请重试；否则请联系本站管理员。",
        },
        "login_loop" => Text {
            title: "登录反复循环",
            happened: "您在一分钟内多次登录，但每次都立即被要求再次登录。为避免循环跳转，我们在此停止。",
            next: "如果一分钟后仍然发生，请寻求帮助并附上下方信息。",
        },
        "handoff_failed" => Text {
            title: "登录未能传递到本站",
            happened: "您已登录，但此浏览器无法将登录状态带到本站：该地址已被使用、已过期，或属于另一个浏览器。",
            next: "请从头重新打开本站。如果此页面再次出现，请允许本站使用 Cookie。",
        },
        "login_required" => Text {
            title: "请在身份提供方处登录",
            happened: "身份提供方在放行之前需要您进行确认。",
            next: "请重新开始登录，并按提示操作。",
        },
        "provider_error" => Text {
            title: "身份提供方出现问题",
            happened: "负责核验您身份的服务返回了错误，登录无法完成。您的账号不受影响。",
            next: "请稍后重试。如果问题持续，请寻求帮助并附上下方信息。",
        },
        "provider_unreachable" => Text {
            title: "无法连接身份提供方",
            happened: "负责核验您身份的服务目前没有响应。大多数已登录的用户可以继续使用。",
            next: "请稍后重试。",
        },
        "outcome_unknown" => Text {
            title: "登录被中断",
            happened: "在收到身份提供方的应答之前，连接中断了。",
            next: "请重试。您很可能不需要再次输入密码。",
        },
        "client_credentials_rejected" => Text {
            title: "登录功能正在修复",
            happened: "身份提供方目前不接受本网站的请求。这不是您的问题，您的账号一切正常。",
            next: "本站管理员可以在日志中查到原因，请稍后再试。",
        },
        "clock_skew" => Text {
            title: "时间不一致",
            happened: "本网站与身份提供方的时间不一致，无法核验此次登录。",
            next: "本站管理员可以在日志中查到原因，请稍后再试。",
        },
        "rate_limited" => Text {
            title: "身份提供方要求放慢速度",
            happened: "它在短时间内收到了过多请求，暂时不再接受新的请求。",
            next: "请稍等片刻后重试。",
        },
        "tls_failed" => Text {
            title: "无法与身份提供方建立安全连接",
            happened: "与核验您身份的服务之间的连接无法得到安全保障，因此没有发送任何内容。",
            next: "本站管理员可以在日志中查到原因，请稍后再试。",
        },
        "id_token_invalid" => Text {
            title: "无法核验此次登录",
            happened: "身份提供方发来的内容没有通过我们的检查，因此您没有登录。",
            next: "请重试。如果再次发生，请寻求帮助并附上下方信息。",
        },
        "subject_changed" => Text {
            title: "会话期间账号发生变化",
            happened: "身份提供方突然为此会话返回了另一个人的身份。为安全起见，会话已结束。",
            next: "请使用您想用的账号重新登录。",
        },
        "provider_unavailable" => Text {
            title: "您的身份提供方目前不接受登录",
            happened: "负责验证身份的服务表示目前过载或正在维护。您的账号不受影响。",
            next: "请稍后再试。",
        },
        "code_rejected" => Text {
            title: "登录未能完成",
            happened: "身份提供方没有接受它自己发出的应答。应答过旧或已被使用时会出现这种情况。",
            next: "请重新开始登录。如果再次出现，请寻求帮助并附上下面这一行。",
        },
        "session_unknown" => Text {
            title: "请重新登录",
            happened: "本服务已经不认识您的浏览器出示的会话。",
            next: "请重新登录以继续之前的操作。",
        },
        "session_signed_out" => Text {
            title: "您已退出登录",
            happened: "您的浏览器出示的会话已在此处或其他窗口中退出登录。",
            next: "请重新登录以继续。",
        },
        "session_cookie_missing" => Text {
            title: "您的浏览器没有出示会话",
            happened: "您已经登录，但浏览器没有保存证明登录的 Cookie，或没有把它发送回来。",
            next: "请允许本站使用 Cookie，然后重试。",
        },
        "session_still_there" => Text {
            title: "您已经登录",
            happened: "您一直处于登录状态，但有程序（例如此页面背后的应用）再次要求登录。",
            next: "请返回应用。如果它再次要求登录，请告知本站的管理者。",
        },
        "session_ended_by_idp" => Text {
            title: "您的会话已被结束",
            happened: "身份提供方结束了此会话，例如您在其他地方退出了登录。",
            next: "请重新登录以继续。",
        },
        "grant_expired_or_revoked" => Text {
            title: "请重新登录",
            happened: "您的会话已结束：可能时间过长，也可能已在身份提供方处被终止。",
            next: "请重新登录，即可回到刚才的位置。",
        },
        "store_unavailable" => Text {
            title: "服务暂时不可用",
            happened: "负责保存会话的部分目前没有响应。您并没有被退出登录。",
            next: "请稍后重试，您要访问的页面仍然可用。",
        },
        "store_refuses_writes" => Text {
            title: "暂停新的登录",
            happened: "本服务目前无法保存新的会话。已登录的用户可以继续使用。",
            next: "请过几分钟再试。",
        },
        "not_admitted" => Text {
            title: "您没有访问权限",
            happened: "您已登录，但此账号不在允许访问此页面的名单中。",
            next: "如果您有其他账号，请切换账号；或者向本站管理员申请权限。",
        },
        "route_denies" => Text {
            title: "此页面不开放",
            happened: "此地址不对任何人开放。",
            next: "请检查地址，或返回上一页。",
        },
        "groups_unknown" => Text {
            title: "无法读取您的用户组",
            happened: "能否访问此页面取决于您所在的用户组，而身份提供方没有提供这些信息。",
            next: "请重新登录。如果没有帮助，请联系本站管理员。",
        },
        "username_taken" => Text {
            title: "此名称属于他人",
            happened: "此应用以用户名或邮箱地址识别用户，而另一个账户已先在此使用了与您相同的名称。为避免混淆，您不能以此名称进入。",
            next: "如果此名称应属于您，请联系本站管理员将其释放。如果您有其他账户，请改用该账户登录。",
        },
        "user_unknown" => Text {
            title: "无法读取您的名称",
            happened: "此应用以用户名或邮箱地址识别用户，而身份提供方没有提供该信息，或该邮箱地址尚未验证。",
            next: "请在身份提供方补全或验证该信息，然后重新登录。如果没有帮助，请联系本站管理员。",
        },
        "forbidden" => Text {
            title: "不允许访问",
            happened: "请求已被理解，但不被允许。",
            next: "请返回上一页，或使用其他账号。",
        },
        "no_route" => Text {
            title: "此地址没有内容",
            happened: "这里没有应用响应此地址。",
            next: "请检查地址是否有误。",
        },
        "not_found" => Text {
            title: "页面不存在",
            happened: "此地址没有页面。",
            next: "请检查地址是否有误，或返回上一页。",
        },
        "unknown_host" => Text {
            title: "此站点不在这里",
            happened: "您的浏览器请求了本服务器不认识的站点名称。",
            next: "请检查地址栏中的名称。如果是通过链接来到这里，请告知提供链接的人。",
        },
        "bad_request" => Text {
            title: "无法理解请求",
            happened: "您的浏览器发送了不符合规则的内容，例如损坏的链接。",
            next: "请检查地址，或返回后重试。",
        },
        "method_not_allowed" => Text {
            title: "此处不支持该操作",
            happened: "此页面不能以这种方式使用。",
            next: "请返回上一页后重试。",
        },
        "request_timeout" => Text {
            title: "请求超时",
            happened: "您的浏览器没有在规定时间内完成发送。",
            next: "请检查网络连接后重试。",
        },
        "upstream_unreachable" => Text {
            title: "应用没有响应",
            happened: "您来对了地方，但此页面背后的应用目前无法连接。",
            next: "请稍后重试。如果问题持续，请寻求帮助并附上下方信息。",
        },
        "upstream_down" => Text {
            title: "应用已停止服务",
            happened: "您来对了地方，但此页面背后的应用已有一段时间无法连接。",
            next: "请稍后重试。如果问题持续，请寻求帮助并附上下方信息。",
        },
        "upstream_untrusted" => Text {
            title: "目前无法信任此应用",
            happened: "此页面背后的应用无法证明自己的身份，或者拒绝了我们的连接。没有向它发送任何内容。",
            next: "请寻求帮助并附上下方信息。重试通常无济于事。",
        },
        "upstream_timeout" => Text {
            title: "应用响应过慢",
            happened: "此页面背后的应用没有及时响应。",
            next: "请稍后重试。如果您提交过内容，请先确认是否已送达。",
        },
        "upstream_broken" => Text {
            title: "应用响应中断",
            happened: "此页面背后的应用发来了无法使用的应答。",
            next: "请稍后重试。如果您提交过内容，请先确认是否已送达。",
        },
        "body_too_large" => Text {
            title: "内容过大",
            happened: "您发送的内容超出了本站允许的大小，没有送达。",
            next: "请发送较小的文件，或将其拆分。",
        },
        "headers_too_large" => Text {
            title: "请求过长",
            happened: "您的浏览器发送的地址或 Cookie 超出了本站允许的长度。",
            next: "请缩短地址，或删除本站的 Cookie 后重试。",
        },
        "too_many_requests" => Text {
            title: "尝试次数过多",
            happened: "短时间内来自您网络的请求过多。",
            next: "请等待一分钟后重试。",
        },
        "overloaded" => Text {
            title: "目前非常繁忙",
            happened: "本站收到的请求超出了处理能力。",
            next: "请稍后重试。",
        },
        "sign_in_required" => Text {
            title: "请登录",
            happened: "此页面仅供已登录的用户访问，而您的会话已结束或尚未开始。",
            next: "请登录后重试。",
        },
        "csrf_failed" => Text {
            title: "请再次确认",
            happened: "请求并非来自本站的页面，或该页面已过期。没有执行任何操作。",
            next: "请返回并刷新页面后重试。",
        },
        "return_to_refused" => Text {
            title: "该链接指向其他网站",
            happened: "该链接要求跳转到不属于本站的地址，因此我们在此停止。",
            next: "请前往首页，或直接打开应用的地址。",
        },
        "unavailable" => Text {
            title: "暂时不可用",
            happened: "本服务目前无法响应。",
            next: "请稍后重试。",
        },
        "internal" => Text {
            title: "这里出了点问题",
            happened: "我们在处理时发生了错误，已按下方编号记录。",
            next: "请重试。如果再次发生，请寻求帮助并附上下方信息。",
        },
        _ => return None,
    })
}
