"""The obligation model: random schedules of faults around the real agent, and an oracle that owns every log.

Obligation: once a checkpoint is saved, every log before it is in the receiver's durable store or a durable dead
letter. A schedule is a seed: it says how many agents, shards and faults there are, which faults, and when.

- `schedule`: what a seed stands for, and the register of fault kinds.
- `kinds_sls`, `kinds_process`, `kinds_hec`, `kinds_stream`: the faults, one generator each.
- `world`: emulators, agents and feeder of one schedule, and the loop that runs it.
- `oracle`: every log that was stored, the check at every save, the verdict at the end.
- `campaign`, `report`, `__main__`: many schedules, their results added up, a failing one shrunk.

`python -m tests.faults --seeds 1-100 --output hec` runs a hundred of them.
"""
