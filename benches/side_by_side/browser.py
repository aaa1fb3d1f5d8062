"""A browser that signs in: follows redirects, keeps cookies, fills in the
provider's form."""

import http.client
import re
import ssl
import urllib.parse
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone

from .process import Failed

USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

NAVIGATION = {
    "User-Agent": USER_AGENT,
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}

# Certificates here are made for the run; who they are from proves nothing.
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def is_over(attributes):
    """Whether a Set-Cookie with these attributes drops its cookie."""
    age = re.search(r"(?i);\s*max-age=(-?\d+)", attributes)
    if age:
        return int(age.group(1)) <= 0
    expires = re.search(r"(?i);\s*expires=([^;]+)", attributes)
    if not expires:
        return False
    try:
        end = parsedate_to_datetime(expires.group(1))
    except ValueError:
        return False
    return end.replace(tzinfo=end.tzinfo or timezone.utc) < datetime.now(timezone.utc)


class Browser:
    def __init__(self):
        self.jars = {}

    def cookie(self, host):
        return "; ".join(f"{name}={value}" for name, value in self.jars.get(host, {}).items())

    def _once(self, method, url, body=None):
        parts = urllib.parse.urlsplit(url)
        # Names below localhost are this machine, whatever the resolver thinks.
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection("127.0.0.1", parts.port, timeout=20, context=TLS)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        headers = {**NAVIGATION, "Host": parts.netloc}
        if cookie := self.cookie(parts.hostname):
            headers["Cookie"] = cookie
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        path = parts.path or "/"
        connection.request(method, path + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        jar = self.jars.setdefault(parts.hostname, {})
        for line in answer.headers.get_all("Set-Cookie") or []:
            pair, _, attributes = line.partition(";")
            name, _, value = pair.partition("=")
            if is_over(";" + attributes):
                jar.pop(name.strip(), None)
            else:
                jar[name.strip()] = value.strip()
        return answer.status, answer.headers.get("Location"), text

    def visit(self, url, body=None):
        """Follows where it leads; the last status and body."""
        method = "GET" if body is None else "POST"
        for _ in range(20):
            status, location, text = self._once(method, url, body)
            if status not in (301, 302, 303, 307, 308) or not location:
                return status, text, url
            url = urllib.parse.urljoin(url, location)
            method, body = "GET", None
        raise Failed(f"redirected in circles, last to {url}")

    def sign_in(self, url):
        """Ann signs in on the way to `url`; the answer she gets there."""
        status, text, at = self.visit(url)
        form = re.search(r'action="(/interaction/[^"]+)"', text)
        if not form:
            raise Failed(f"no sign-in form behind {url}: {status} at {at}\n{text[:600]}")
        status, text, at = self.visit(urllib.parse.urljoin(at, form.group(1)), "login=ann")
        if status != 200:
            raise Failed(f"signing in ended with {status} at {at}\n{text[:600]}")
        return text
