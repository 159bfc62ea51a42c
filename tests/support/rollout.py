"""Rolling restarts under load: worlds of one Deployment each, and the books of what their clients got.

    run = await roll(directory, "native", rollouts=20, worlds=4, times=SCALED, seed=1)
    run.lost, run.how, run.sent

Each world has a Service, clients, and a pod. A rollout is what maxSurge 1 and maxUnavailable 0 make of it: a new pod, ready; then the old
one is deleted. Endpoints reach each client up to `lag` seconds late, so that new connections still go to the old pod, and kept ones stay
with it anyway.
"""
import asyncio
import collections
import dataclasses
import time

import kubelet
import service

CLIENTS = 12  # of each world
THINK = 0.04  # seconds on average from an answer to the next request


@dataclasses.dataclass
class Times:
    second: float = 1.0      # how long one takes
    grace: float = 120       # terminationGracePeriodSeconds and stop.grace
    drain_delay: float = 5   # stop.drain_delay
    lag: float = 3           # seconds until the last node knows of an endpoint's end

    def pod(self):
        return {"second": self.second, "grace": self.grace, "drain_delay": self.drain_delay}


REAL = Times()
SCALED = Times(second=1 / 20, grace=1200)  # nothing takes it, but on a busy machine a process may need a few real seconds to end


class World:
    """One Deployment of one replica."""

    def __init__(self, name, mode, directory, times, seed, hook=True, flags=(), clients=CLIENTS, think=THINK, agent=(), env=None):
        self.name, self.mode, self.dir, self.times = name, mode, directory, times
        self.hook, self.flags, self.agent, self.env = hook, flags, agent, env
        self.service = service.Service(times.lag * times.second)
        self.books = service.Books()
        self.crowd = service.Crowd(name, self.service, self.books, seed, times.second, clients, think)
        self.book = directory / f"{name}.book"
        self.pods, self.took, self.count, self.pod = [], [], 0, None

    def make(self, **more):
        """A pod of the present template, started."""
        self.count += 1
        options = {**self.times.pod(), "hook": self.hook, "flags": self.flags, "agent": self.agent, "env": self.env, **more}
        name = f"{self.name}{self.count}"
        pod = kubelet.Pod(name, self.mode, self.dir / name, self.service, self.book, **options)
        self.pods.append(pod)
        pod.start()
        return pod

    async def up(self, **more):
        self.pod = self.make(**more)
        await self.pod.wait_ready()
        self.crowd.start()
        return self.pod

    async def roll(self):
        old, self.pod = self.pod, self.make()
        await self.pod.wait_ready()
        self.took.append(await old.delete())
        return old

    async def close(self):
        """The clients finish; then the last pod goes."""
        await self.crowd.stop()
        if self.pod:
            await self.pod.delete()

    async def abandon(self):
        for c in self.crowd.tasks:
            c.cancel()
        for pod in self.pods:
            await pod.abandon()

    def check_book(self):
        """Each answered id was given to an agent once, and none twice."""
        times = collections.Counter(self.book.read_text().split()) if self.book.exists() else {}
        doubled = [n for n, count in times.items() if count > 1]
        unseen = [n for n in self.books.answered if n not in times]
        assert not doubled, f"given to an agent twice: {doubled[:10]}"
        assert not unseen, f"answered without an agent: {unseen[:10]}"

    def tell(self):
        names = {pod for _, _, pod in self.books.lost} or {p.name for p in self.pods[-2:]}
        return "\n".join([f"==== {self.name}: lost {self.books.lost[:20]}", *(p.tell() for p in self.pods if p.name in names)][:6])


class Run:
    """Worlds of one mode, and their sums."""

    def __init__(self, mode, worlds):
        self.mode, self.worlds = mode, worlds
        self.seconds = 0.0

    def sum(self, what):
        return sum(what(w) for w in self.worlds)

    @property
    def sent(self):
        return self.sum(lambda w: w.books.sent)

    @property
    def lost(self):
        return self.sum(lambda w: len(w.books.lost))

    @property
    def late(self):
        return self.sum(lambda w: len(w.books.late))

    @property
    def rollouts(self):
        return self.sum(lambda w: len(w.took))

    @property
    def exits(self):
        return collections.Counter(c.status for w in self.worlds for p in w.pods for c in p.containers)

    @property
    def kills(self):
        return self.sum(lambda w: sum(c.was_killed for p in w.pods for c in p.containers))

    def how(self):
        return dict(sum((collections.Counter(w.books.how()) for w in self.worlds), collections.Counter()))

    def report(self):
        took = sorted(t for w in self.worlds for t in w.took)
        kinds = dict(sum((w.books.kinds for w in self.worlds), collections.Counter()))
        middle = f"{took[len(took) // 2]:.1f} s (longest {took[-1]:.1f})" if took else "-"
        return (f"{self.mode}: {self.rollouts} rollouts in {self.seconds:.0f} s, {self.sent} requests ({kinds}), lost {self.lost}, late {self.late}"
                f"{f' {self.how()}' if self.lost + self.late else ''}; a pod's end took {middle}, killed {self.kills}, exits {dict(self.exits)}")


async def roll(directory, mode, rollouts, worlds, times, seed, hook=True, flags=(), clients=CLIENTS, think=THINK):
    """So many rollouts altogether, by so many worlds beside each other."""
    made = [World(f"{mode[0]}{n}-", mode, directory, times, seed * 1000 + n, hook, flags, clients, think) for n in range(worlds)]
    run = Run(mode, made)
    left = [rollouts]

    async def live(world):
        await world.up()
        while left[0] > 0:
            left[0] -= 1
            await world.roll()
        await world.close()
        world.check_book()

    began = time.monotonic()
    try:
        await asyncio.gather(*(live(w) for w in made))
    finally:
        run.seconds = time.monotonic() - began
        for w in made:
            await w.abandon()
    return run
