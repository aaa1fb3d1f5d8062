"""nginx as a bare proxy, with the upstream connections that it must be told
to keep."""

import os

from .peer import Peer
from .process import Process, free_port, need

CONFIG = """
{user}worker_processes 1; daemon off; master_process {master}; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections {most}; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
    client_body_temp_path {folder}/n; proxy_temp_path {folder}/n; fastcgi_temp_path {folder}/n;
    uwsgi_temp_path {folder}/n; scgi_temp_path {folder}/n;
    upstream u {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; keepalive_time 1d; }}
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen 127.0.0.1:{h1} backlog=4096;
        listen 127.0.0.1:{tls} ssl http2 backlog=4096;
        location / {{
            proxy_pass http://u; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def start(place, around=(), master="on"):
    """`around`: words before the command, a tool that looks at it."""
    ports = {"h1": free_port(), "tls": free_port()}
    config = place.write(
        "nginx.conf",
        CONFIG.format(
            user="user root; " if os.geteuid() == 0 else "", folder=place.folder, most=place.connections,
            upstream=place.upstream_port, certificate=place.certificate, key=place.key, master=master, **ports,
        ),
    )
    command = [*around, need("nginx"), "-c", config, "-e", f"{place.folder}/nginx.err"]
    process = Process("nginx", command, place.folder, place.cpus).wait_for(ports["h1"], 60)
    return Peer("nginx", process, ports)
