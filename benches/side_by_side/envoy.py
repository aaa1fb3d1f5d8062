"""Envoy, bare and with its OAuth2 filter: two listeners of one process."""

import base64
import json

from .peer import HOST, Peer
from .process import Process, free_port
from .provider import CLIENT, SECRET

API = "type.googleapis.com/envoy.extensions"


def _cluster(name, port):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name, "connect_timeout": "5s", "type": "STATIC",
        "circuit_breakers": {"thresholds": [{"max_connections": 20000, "max_requests": 20000}]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _listener(port, filters, tls=None):
    manager = {
        "@type": f"{API}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"on{port}",
        "codec_type": "AUTO",
        "route_config": {
            "name": "all",
            "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "application", "timeout": "0s"}}],
            }],
        },
        "http_filters": [*filters, {
            "name": "router", "typed_config": {"@type": f"{API}.filters.http.router.v3.Router"},
        }],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls:
        certificate, key = tls
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{API}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
                ],
            },
        }}
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [chain],
    }


def _oauth2(port, provider):
    return {
        "name": "oauth2",
        "typed_config": {"@type": f"{API}.filters.http.oauth2.v3.OAuth2", "config": {
            "token_endpoint": {"cluster": "provider", "uri": f"{provider}/token", "timeout": "5s"},
            "authorization_endpoint": f"{provider}/auth",
            "redirect_uri": f"http://{HOST}:{port}/callback",
            "redirect_path_matcher": {"path": {"exact": "/callback"}},
            "signout_path": {"path": {"exact": "/signout"}},
            "forward_bearer_token": True,
            "auth_type": "BASIC_AUTH",
            "auth_scopes": ["openid", "email", "profile"],
            "credentials": {
                "client_id": CLIENT, "token_secret": {"name": "token"}, "hmac_secret": {"name": "hmac"},
            },
        }},
    }


def start(place, program, issuer, port):
    """(bare, with OAuth2)"""
    ports = {"h1": free_port(), "tls": free_port()}
    hmac = base64.b64encode(b"side-by-side-side-by-side-32-bytes"[:32]).decode()
    config = {
        "static_resources": {
            "listeners": [
                _listener(ports["h1"], []),
                _listener(ports["tls"], [], (place.certificate, place.key)),
                _listener(port, [_oauth2(port, issuer)]),
            ],
            "clusters": [
                _cluster("application", place.upstream_port),
                _cluster("provider", int(issuer.rsplit(":", 1)[1])),
            ],
            "secrets": [
                {"name": "token", "generic_secret": {"secret": {"inline_string": SECRET}}},
                {"name": "hmac", "generic_secret": {"secret": {"inline_bytes": hmac}}},
            ],
        },
    }
    file = place.write("envoy.json", json.dumps(config, indent=1))
    command = [program, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    process = Process("envoy", command, place.folder, place.cpus).wait_for(port, 60)
    return (
        Peer("Envoy", process, ports),
        Peer("Envoy with OAuth2 filter", process, {"h1": port}, identity="bearer=Bearer "),
    )
