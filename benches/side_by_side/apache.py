"""Apache with mod_auth_openidc; sessions in shared memory or in Redis."""

import os

from .machine import APACHE_MODULE
from .peer import HOST, Peer
from .process import Failed, Process, need
from .provider import CLIENT, SECRET

MODULES = os.path.dirname(APACHE_MODULE)
NEEDED = ("mpm_event", "authz_core", "authn_core", "authz_user", "proxy", "proxy_http", "auth_openidc")

CONFIG = """
ServerRoot {folder}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/apache-error.log
LogLevel warn
{modules}
ServerName {host}
Listen 127.0.0.1:{port}
ServerLimit 1
StartServers 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MinSpareThreads 64
MaxSpareThreads 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client}
OIDCClientSecret {secret}
OIDCRedirectURI http://{host}:{port}/oidc/callback
OIDCCryptoPassphrase side-by-side-side-by-side
OIDCScope "openid email profile"
OIDCPKCEMethod S256
OIDCSessionInactivityTimeout 86400
OIDCSessionType server-cache
{cache}
ProxyPreserveHost On
<Location />
    AuthType openid-connect
    Require valid-user
    ProxyPass http://127.0.0.1:{upstream}/ keepalive=On max=64 ttl=240
</Location>
<Location /oidc>
    ProxyPass !
    AuthType openid-connect
    Require valid-user
</Location>
"""


def start(place, issuer, port, redis=None):
    if not os.path.exists(APACHE_MODULE):
        raise Failed("mod_auth_openidc is not installed")
    name = "Apache, mod_auth_openidc, " + ("Redis" if redis else "shared memory")
    folder = os.path.join(place.folder, "apache-redis" if redis else "apache-shm")
    os.makedirs(folder, exist_ok=True)
    modules = "\n".join(f"LoadModule {module}_module {MODULES}/mod_{module}.so" for module in NEEDED)
    cache = "OIDCCacheType shm"
    if redis:
        cache = f"OIDCCacheType redis\nOIDCRedisCacheServer 127.0.0.1:{redis.port}"
    if os.geteuid() == 0:
        modules += "\nUser www-data\nGroup www-data"
    config = place.write(f"{os.path.basename(folder)}.conf", CONFIG.format(
        folder=folder, modules=modules, host=HOST, port=port, issuer=issuer, client=CLIENT,
        secret=SECRET, cache=cache, upstream=place.upstream_port,
    ))
    command = [need("apache2"), "-f", config, "-D", "FOREGROUND"]
    process = Process(os.path.basename(folder), command, place.folder, place.cpus).wait_for(port, 60)
    peer = Peer(name, process, {"h1": port}, identity="claim=ann")
    peer.helper = redis
    return peer
