"""The application behind everybody: nginx that answers from memory, counts
what reaches it, and tells which identity a request brought."""

import os
import re
import urllib.request

from .process import Failed, Process, free_port, need

SIZES = {"1k": 1024, "64k": 65536, "1m": 1048576}

CONFIG = """
{user}worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log {folder}/upstream.err;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
    underscores_in_headers on; client_body_temp_path {folder}/u; proxy_temp_path {folder}/u;
    fastcgi_temp_path {folder}/u; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/u;
    open_file_cache max=100 inactive=1h; sendfile on; tcp_nopush on; default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        add_header Cache-Control "private, no-cache";
        root {folder}/files;
        location /64k {{ }}
        location /1m {{ }}
        location ~ /probe$ {{
            default_type text/plain;
            return 200 "user=$http_x_forwarded_user\\ncookie=$http_cookie\\nclaim=$http_oidc_claim_sub\\nbearer=$http_authorization\\nhost=$http_host\\nconnection=$connection\\n";
        }}
        location / {{ default_type text/plain; return 200 "{body}"; }}
    }}
    server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""


class Upstream:
    def __init__(self, folder, cpus):
        self.port, self.status = free_port(), free_port()
        os.makedirs(f"{folder}/files", exist_ok=True)
        for name in ("64k", "1m"):
            with open(f"{folder}/files/{name}", "wb") as file:
                file.write(b"0123456789abcdef" * (SIZES[name] // 16))
        body = "0123456789abcdef" * (SIZES["1k"] // 16)
        # As root it would give its rights up, and those to read these files.
        user = "user root; " if os.geteuid() == 0 else ""
        config = f"{folder}/upstream.conf"
        with open(config, "w") as file:
            file.write(CONFIG.format(user=user, folder=folder, port=self.port, status=self.status, body=body))
        command = [need("nginx"), "-c", config, "-e", f"{folder}/upstream.err"]
        self.process = Process("upstream", command, folder, cpus).wait_for(self.port)

    def counts(self):
        """(connections accepted, requests) so far, without this question."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r"(\d+) (\d+) (\d+)", text)
        if not found:
            raise Failed(f"the upstream's counters cannot be read: {text}")
        # Each question is a connection and a request of its own.
        self.asked = getattr(self, "asked", 0) + 1
        return int(found.group(1)) - self.asked, int(found.group(3)) - self.asked
