"""Small servers that speak SLS, Splunk HEC and syslog on loopback, for `demo`, `bench` and the tests.

Nothing of the running agent may import this package; only the commands `demo` and `bench` and the tests do.

SLS emulator in this process
----------------------------

::

    from sls_siem.emulator.sls import AccessKey, Fault, Settings, SlsEmulator
    from sls_siem.emulator.loggroups import make_group

    with SlsEmulator(project="p", logstore="ls", shards=4) as sls:      # or .start() / .stop()
        sls.url                     # http://127.0.0.1:PORT; the project is the first label of the Host header
        sls.add_key("id", "secret") # Settings(verify=False) lets unsigned requests pass
        store = sls.store           # the logstore made above; others: sls.create_logstore(...), sls.logstore(p, name)

        store.append(0, [make_group([{"a": "1"}], time=1700000000)])    # -> Appended(shard, position, groups)
        store.append(None, groups)                                      # spread over the writable shards
        store.preload(0, groups, repeat=1_000_000)                      # the same groups again and again, for benches
        sls.feed(store, profile="nginx", logs=100_000, mb_per_s=10)     # -> Feed: .join(timeout), .stop(), .appended
        store.split(0), store.merge(1)                                  # -> (left, right) / child
        store.trim(0, before=position), store.trim_received(before=epoch_s), store.remove_shard(0)
        store.stored(shard=None, start=None, limit=None)   # StoredGroup: shard, position, received, trimmed, data
        store.shard(0).begin / .end / .base / .read_only
        store.processors["consume-processor-1"] = "* | where a = '1'"
        store.set_checkpoint("group", 0, "MTIz")                        # whatever text, unchecked
        store.create_group("group", timeout_s=40, in_order=False, quota=30), store.consumer_groups
        store.group("group").owner(0) / .checkpoint(0) / .consumers() / .evict("consumer")

        sls.settings.expired_cursor = "begin"                           # see Settings for every switch
        sls.clock.advance(60)                                           # receive times and group timeouts
        fault = sls.faults.add(Fault(call="pull", action="status", status=500, code="InternalServerError", times=3))
        fault.struck                                                    # when it struck, monotonic seconds
        sls.history.saves / .heartbeats / .pulls                        # bounded; Save, Heartbeat, Pull
        sls.stop_listening(), sls.start_listening(), sls.disconnect()   # the whole service away and back, same port

Every mutable part is safe to use from any thread.

SLS emulator as a process of its own
------------------------------------

``python -m sls_siem.emulator.sls --port 0 --project p --logstore ls --shards 4 --key id:secret`` prints one line
``{"url": ..., "host": ..., "port": ..., "pid": ...}`` and ends on SIGTERM or when its standard input closes
(``--detached`` keeps it without one). It is steered by the control API, which `SlsControl(url)` wraps:

GET  /_emulator/health | shards | groups | logs | stats | saves | heartbeats | pulls | faults | feeds | consumers
POST /_emulator/create-logstore | delete-logstore | append | preload | feed | stop-feed | split | merge | trim |
     remove-shard | processor | checkpoint | fault | remove-fault | clear-faults | settings | key | remove-key |
     evict | advance | disconnect

`project` and `logstore` are arguments of each (query of a GET, member of a POST's JSON object); left out they name
the logstore that the command line made. `sls_siem.emulator.sls.control` says what each takes and answers.

Generated logs
--------------

`sls_siem.emulator.generate`: profiles `nginx` (570 bytes a log), `actiontrail` (1.4 kB of JSON), `waf` (4 kB), and
`hostile`; the same log for the same profile, seed and sequence number, with its number in the field `seq`.
"""
