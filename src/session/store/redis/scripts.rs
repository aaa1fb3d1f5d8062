//! The scripts. They mirror `rotation` byte for byte on the header's layout
//! (`record::TokenHeader`) and pass the same conformance suite. KEYS are those
//! of one session, the token key first, or one key that stands alone.
//!
//! Values are replaced with KEEPTTL and headers in place: a session's end is
//! set once, at its creation.

use ::redis::Script;

/// Reads the header into `h`; ends the script unless the session lives.
/// Positions count from 1: version 2, `rt_fp` 10, `intent_fp` 26, owner 42,
/// tries 58, `sent_at` 59, `lease_until` 67, `retry_at` 75, `fail_class` 83,
/// `access_exp` 84, `last_seen` 92, failures 100, graced 101, `received_at`
/// 102. A tombstone begins with a zero. A header of format 1 ends before
/// position 100; `h` gets what it lacks, and `put` writes the record anew.
const HEADER: &str = r"
local h = redis.call('GETRANGE', KEYS[1], 0, 108)
if h == '' or string.byte(h, 1) == 0 then return {'gone'} end
local old = string.byte(h, 1) == 1
if old then h = string.sub(h, 1, 99) .. string.rep('\0', 10) end
if #h ~= 109 or string.byte(h, 1) > 2 then
  return redis.error_reply('CORRUPT token header of another format')
end
local NONE = string.rep('\0', 16)
local ZERO = string.rep('\0', 8)
local function cut(from, length) return string.sub(h, from, from + length - 1) end
local function number(from) return (struct.unpack('>I8', cut(from, 8))) end
local function bytes(value) return struct.pack('>I8', value) end
local function version() return number(2) + 1 end
local function put()
  h = string.char(2) .. string.sub(h, 2)
  if old then
    redis.call('SET', KEYS[1], h .. redis.call('GETRANGE', KEYS[1], 99, -1), 'KEEPTTL')
  else
    redis.call('SETRANGE', KEYS[1], 0, h)
  end
end
";

const NOW: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

const CLAIM: &str = r"
local rt = cut(10, 16)
if rt == NONE or rt ~= ARGV[1] then return {'superseded'} end
local lease = number(67)
if lease > now and cut(42, 16) ~= ARGV[2] then return {'busy', lease} end
local retry = number(75)
if retry > now then return {'backoff', retry, string.byte(h, 83)} end
local tries = 0
if cut(26, 16) == rt then tries = string.byte(h, 58) end
local sent, graced = now, 0
if tries > 0 then sent = number(59) end
if tries > 0 and now < sent + tonumber(ARGV[5]) then
  graced = 1
elseif tries > 0 and (ARGV[4] ~= '1' or tries >= 2) then
  return {'unknown', number(59), tries}
end
h = string.char(2) .. bytes(version()) .. rt .. rt .. ARGV[2]
  .. string.char(tries + 1 - graced) .. bytes(sent)
  .. bytes(now + tonumber(ARGV[3])) .. cut(75, 26) .. string.char(graced)
  .. string.sub(h, 102)
put()
return {'granted'}
";

/// Begins by deleting what is never there, for the reason that `TOMBSTONE`
/// has: with full memory, too, an attempt that failed must be given back. It
/// needs no more than it had.
const RELEASE: &str = r"
if cut(42, 16) ~= ARGV[1] or ARGV[1] == NONE then return {'other'} end
redis.call('DEL', KEYS[2])
local intent, tries = cut(26, 16), string.byte(h, 58)
if ARGV[2] == '1' and string.byte(h, 101) == 0 then
  tries = math.max(tries - 1, 0)
  if tries == 0 then intent = NONE end
end
local failures = string.byte(h, 100)
if string.byte(ARGV[4]) ~= 0 then failures = math.min(failures + 1, 255) end
h = string.char(2) .. bytes(version()) .. cut(10, 16) .. intent .. NONE
  .. string.char(tries) .. cut(59, 8) .. ZERO .. ARGV[3] .. ARGV[4]
  .. cut(84, 16) .. string.char(failures, 0) .. string.sub(h, 102)
put()
return {'released'}
";

const COMMIT: &str = r"
local rt = cut(10, 16)
if rt == NONE or rt ~= ARGV[1] then return {'superseded'} end
local new = version()
h = string.char(2) .. bytes(new) .. ARGV[2] .. NONE .. NONE .. string.char(0)
  .. cut(59, 8) .. ZERO .. ZERO .. string.char(0) .. ARGV[3] .. cut(92, 8)
  .. string.char(0, 0) .. ARGV[4]
redis.call('SET', KEYS[1], h .. ARGV[5], 'KEEPTTL')
if ARGV[6] ~= '' then redis.call('SET', KEYS[2], ARGV[6], 'XX', 'KEEPTTL') end
return {'done', new}
";

const TOUCH: &str = r"
if number(92) < struct.unpack('>I8', ARGV[1]) then
  redis.call('SETRANGE', KEYS[1], 91, ARGV[1])
end
return {'touched'}
";

const CREATE: &str = r"
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) > 0 then return 0 end
for n = 1, 3 do redis.call('SET', KEYS[n], ARGV[n], 'PXAT', ARGV[4]) end
return 1
";

const PUT_IDENTITY: &str = r"
redis.call('SET', KEYS[2], ARGV[1], 'XX', 'KEEPTTL')
return {'put'}
";

/// Deleting comes first: a server whose memory is full allows it, and lets a
/// script that has begun to write go on. Signing out must work then.
const TOMBSTONE: &str = r"
local format = string.byte(redis.call('GETRANGE', KEYS[1], 0, 0))
if not format or format == 0 then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
return 1
";

/// An index lives as long as its last entry.
const INDEX_ADD: &str = r"
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) - now then
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
return 1
";

const INDEX_LIST: &str = r"
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
";

const ONCE: &str = r"
local seen = redis.call('GET', KEYS[1])
if seen then return seen end
redis.call('SET', KEYS[1], '')
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
return false
";

/// `SET NX GET` says the same in one command, from Redis 7 on.
const PIN: &str = r"
local first = redis.call('GET', KEYS[1])
if first then return first end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
";

/// A history lives as long as its entries ask for.
const HISTORY_ADD: &str = r"
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left < tonumber(ARGV[3]) - now then
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
end
return 1
";

pub struct Scripts {
    pub create: Script,
    pub claim: Script,
    pub release: Script,
    pub commit: Script,
    pub put_identity: Script,
    pub touch: Script,
    pub tombstone: Script,
    pub index_add: Script,
    pub index_list: Script,
    pub once: Script,
    pub pin: Script,
    pub history_add: Script,
}

impl Scripts {
    pub fn new() -> Self {
        let script = |parts: &[&str]| Script::new(&parts.concat());
        Self {
            create: script(&[CREATE]),
            claim: script(&[HEADER, NOW, CLAIM]),
            release: script(&[HEADER, RELEASE]),
            commit: script(&[HEADER, COMMIT]),
            put_identity: script(&[HEADER, PUT_IDENTITY]),
            touch: script(&[HEADER, TOUCH]),
            tombstone: script(&[TOMBSTONE]),
            index_add: script(&[NOW, INDEX_ADD]),
            index_list: script(&[NOW, INDEX_LIST]),
            once: script(&[ONCE]),
            pin: script(&[PIN]),
            history_add: script(&[NOW, HISTORY_ADD]),
        }
    }
}
