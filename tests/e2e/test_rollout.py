"""The termination contract (docs/kubernetes.md): pods come and go under load, as the kubelet does it, and no request is lost.

ROLLOUTS, ROLLOUTS_REAL and ROLLOUT_SEED make it longer, at real times, or another one; `make rollout` does. The kubelet is
tests/support/kubelet.py, the clients and their Service tests/support/service.py.
"""
# ctest: long
# ctest: timeout=480
import asyncio
import dataclasses
import os
import random
import re
import signal
import sys
import time
import unittest

import harness
import kubelet
import rollout
import service

SEED = int(os.environ.get("ROLLOUT_SEED", "1"))
ROLLOUTS = int(os.environ.get("ROLLOUTS", "0"))
ROLLOUTS_REAL = int(os.environ.get("ROLLOUTS_REAL", "0"))
SHORT = rollout.Times(second=0.1, grace=600)  # a minute and a half second of drain_delay: for busy machines
AMPLE = 100                                    # for least_grace, with the same second
BOUND = 60                                     # seconds for what comes by itself
LOST_BY_TRYING = 240                           # seconds of rollouts that a broken contract may take to lose a request; mostly it is the first


class Played(harness.Case):
    def play(self, story, *several):
        """Runs it, or once with each of `several` at the same time. What it made is ended, and told about when it failed."""
        self.worlds, self.clients = [], []

        async def act():
            try:
                return await asyncio.gather(*(story(s) for s in several) if several else [story()])
            except BaseException:
                for w in self.worlds:
                    print(w.tell(), file=sys.stderr)
                raise
            finally:
                for c in self.clients:
                    c.hang_up()
                for w in self.worlds:
                    await w.abandon()
        return asyncio.run(act())

    def world(self, mode, times=SHORT, clients=0, **kw):
        w = rollout.World(f"{mode[0]}{len(self.worlds)}-", mode, self.sub_dir(), times, SEED, clients=clients, **kw)
        self.worlds.append(w)
        return w

    def client(self, world, name):
        self.clients.append(service.Client(name, world.service, world.books, random.Random(SEED), [], 0))
        return self.clients[-1]

    async def eventually(self, condition, what):
        end = time.monotonic() + BOUND
        while not (value := condition()):
            self.assertLess(time.monotonic(), end, f"{what}: not within {BOUND} s")
            await asyncio.sleep(0.01)
        return value

    async def is_ready(self, pod):
        await self.eventually(lambda: pod.is_ready, f"{pod.name} is ready")

    def assert_clean(self, pod):
        self.assertEqual([(c.name, c.status, c.was_killed) for c in pod.containers], [(c.name, 0, False) for c in pod.containers])


class Rollouts(Played):
    def rolls(self, *runs):
        """Several rollout.roll() beside each other."""
        async def all_of_them():
            return await asyncio.gather(*(rollout.roll(self.sub_dir(), *args, **kw) for args, kw in runs))
        done = asyncio.run(all_of_them())
        for run in done:
            print(run.report(), file=sys.stderr)
        return done

    def assert_nothing_lost(self, run):
        told = "\n".join(w.tell() for w in run.worlds if w.books.lost)
        self.assertEqual(run.lost, 0, f"{run.report()}\n{told}")
        self.assertEqual((run.kills, set(run.exits)), (0, {0}), run.report())
        self.assertGreater(run.sent, run.rollouts)

    def test_a_few_of_each_kind(self):
        native, wrapper, classic = self.rolls((("native", 4, 2, SHORT, SEED), {}), (("wrapper", 4, 2, SHORT, SEED), {}),
                                              (("classic", 2, 1, SHORT, SEED), {}))
        for run in (native, wrapper, classic):
            self.assert_nothing_lost(run)

    @unittest.skipUnless(ROLLOUTS, "ROLLOUTS=200 is for make rollout")
    def test_many_in_scaled_time(self):
        for mode in ("native", "wrapper"):
            with self.subTest(mode=mode):
                (run,) = self.rolls(((mode, ROLLOUTS, 5, rollout.SCALED, SEED), {}))
                self.assertEqual(run.rollouts, ROLLOUTS)
                self.assert_nothing_lost(run)
        # what it loses is a number in the document, not a promise
        for hook in (True, False):
            (run,) = self.rolls((("classic", max(ROLLOUTS // 4, 1), 5, rollout.SCALED, SEED), {"hook": hook}))
            self.assertEqual(run.kills, 0)

    @unittest.skipUnless(ROLLOUTS_REAL, "ROLLOUTS_REAL=10 is for make rollout")
    def test_some_at_real_times(self):
        def run(mode, **kw):
            return ((mode, ROLLOUTS_REAL, 2, rollout.REAL, SEED), kw)
        native, wrapper, hooked, bare = self.rolls(run("native"), run("wrapper"), run("classic"), run("classic", hook=False))
        for done in (native, wrapper):
            self.assertEqual(done.rollouts, ROLLOUTS_REAL)
            self.assert_nothing_lost(done)
        self.assertEqual((hooked.kills, bare.kills), (0, 0))


LATE = 30  # seconds, scaled, in which every client calls the pod that has gone many times


class ItCanFail(Played):
    """Else the above would prove nothing."""

    def test_it_loses_when_the_contract_is_broken(self):
        def times(**kw):
            return dataclasses.replace(SHORT, **kw)

        async def until_it_loses(how):
            what, mode, t, hook = how
            w = self.world(mode, t, clients=rollout.CLIENTS, hook=hook)
            await w.up()
            end = time.monotonic() + LOST_BY_TRYING
            while not (has_lost := w.books.lost or (w.books.late and hook)) and time.monotonic() < end:
                await w.roll()
            await w.close()
            self.assertTrue(has_lost, what)

        self.play(until_it_loses, ("no drain delay, and a late balancer", "native", times(drain_delay=0, lag=LATE), True),
                  ("the same", "wrapper", times(drain_delay=0, lag=LATE), True),
                  ("a balancer later than the drain delay", "native", times(drain_delay=1, lag=LATE), True),
                  ("no hook", "native", times(lag=LATE), False))


class Ends(Played):
    """A pod's end when something is not as it should be."""

    async def pod_with(self, mode, text, **more):
        """A pod with one request in work, and that request's task."""
        w = self.world(mode)
        pod = w.make(least_grace=AMPLE, **more)
        await self.is_ready(pod)
        client = self.client(w, "long")
        task = asyncio.create_task(client.ask(text))
        await self.eventually(lambda: w.book.exists() and "long-1" in w.book.read_text().split(), "the agent has it")
        return w, pod, task

    def test_the_grace_expires(self):
        async def native():
            w, pod, task = await self.pod_with("native", "work 1000", grace=120)
            took = await pod.delete()
            await task
            self.assertEqual([pod.agent.status, pod.agent.was_killed], [-signal.SIGKILL, True], "it has a request to finish, and no time")
            self.assertEqual([pod.sidecar.status, pod.sidecar.was_killed], [0, False], "its turn comes after the agent, and it needs no time")
            self.assertEqual(pod.hooks[0][0], 200, "the drain gives up in time, for the agent's own grace")
            self.assertGreaterEqual(took, 119)
            self.assertEqual(w.books.ok, 0)

        async def wrapper():
            w, pod, task = await self.pod_with("wrapper", "work 1000", grace=600, stop_grace=30)
            await pod.delete()
            await task
            self.assertEqual([pod.sidecar.status, pod.sidecar.was_killed], [137, False], "ours to kill, before the kubelet does")
        self.play(lambda story: story(), native, wrapper)

    def test_an_agent_that_ignores_term(self):
        async def story(mode):
            w = self.world(mode, agent=("deaf",))
            pod = w.make(least_grace=AMPLE, **({"grace": 30} if mode == "native" else {"stop_grace": 30}))
            await self.is_ready(pod)
            client = self.client(w, "c")
            await client.ask("say")
            await pod.delete()
            self.assertEqual((w.books.ok, w.books.lost), (1, []))
            if mode == "native":
                self.assertEqual([pod.agent.was_killed, pod.sidecar.was_killed, pod.sidecar.status], [True, False, 0])
            else:
                self.assertEqual([pod.sidecar.was_killed, pod.sidecar.status], [False, 137])
        self.play(story, "native", "wrapper")

    def test_a_sidecar_that_was_never_ready(self):
        async def story(mode):
            w = self.world(mode, agent=("mute",))
            pod = w.make(least_grace=AMPLE)
            await self.eventually(lambda: "listening" in (pod.sidecar.log() + pod.agent.log()), "the agent runs")
            took = await pod.delete()
            self.assertFalse(pod.is_ready)
            self.assertLess(took, 600, "not to the end of its grace")
            self.assert_clean(pod)
        self.play(story, "native", "classic", "wrapper")

    def test_a_pod_deleted_before_its_sidecar_had_started(self):
        async def story():
            w = self.world("native")
            pod = w.make(least_grace=AMPLE)
            pod.agent.start = lambda: None  # startupProbe: not yet, however quick the sidecar is
            await self.eventually(lambda: pod.sidecar.is_running, "its process runs")
            await pod.delete()
            self.assertEqual(pod.agent.starts, 0)
            self.assertFalse(pod.sidecar.was_killed)
            self.assertIn(pod.sidecar.status, (0, -signal.SIGTERM), "the latter while it had not begun to read signals")
        self.play(story)

    def test_a_long_stream_and_a_long_request_are_finished(self):
        async def story(mode):
            w, pod, task = await self.pod_with(mode, "events 21 0.1")
            other = asyncio.create_task(self.client(w, "slow").ask("work 2"))
            await self.eventually(lambda: "slow-1" in w.book.read_text().split(), "the agent has both")
            await pod.delete()
            await asyncio.gather(task, other)
            self.assertEqual((w.books.ok, w.books.lost), (2, []), "though both take longer than the drain delay")
            self.assert_clean(pod)
        self.play(story, "native", "classic", "wrapper")

    def test_a_second_term_does_not_wait(self):
        async def story():
            w, pod, task = await self.pod_with("wrapper", "work 1000", agent=("deaf",), grace=6000, stop_grace=6000, flags=("--stop-agent-grace", "200ms"))
            end = asyncio.create_task(pod.delete())
            await self.eventually(lambda: "once more: hurry" in pod.sidecar.log(), "the first one is read")
            pod.sidecar.signal(signal.SIGTERM)
            await end
            await task
            self.assertEqual(pod.sidecar.status, 137)
            self.assertIn("not waiting for requests any more", pod.sidecar.log())
        self.play(story)


class Comes(Played):
    """What comes in the last moment, or back."""

    def test_what_has_arrived_in_the_delay_is_answered_however_late_it_is_read(self):
        """The sidecar does not run for a while, as under a CPU limit; meanwhile its delay ends, and timers come before sockets."""
        async def story():
            w = self.world("wrapper", rollout.Times(second=0.1, grace=1200, drain_delay=30))
            pod = w.make()
            await self.is_ready(pod)
            kept, fresh = self.client(w, "kept"), self.client(w, "fresh")
            await kept.ask("say")
            end = asyncio.create_task(pod.delete())
            await self.eventually(lambda: "hurry" in pod.sidecar.log(), "it drains")
            pod.sidecar.signal(signal.SIGSTOP)
            w.service.endpoints[-1][2] = None  # nobody has told these two
            asks = [asyncio.create_task(c.ask("say")) for c in (kept, fresh)]
            while time.monotonic() < pod.promised_until() + 0.3:
                await asyncio.sleep(0.05)
            in_time = all(c.begun < pod.promised_until() - 0.1 for c in (kept, fresh))
            pod.sidecar.signal(signal.SIGCONT)
            await asyncio.gather(*asks)
            await end
            if not in_time:
                self.skipTest("this machine was too busy to be in time")
            self.assertEqual((w.books.ok, w.books.lost), (3, []))
        self.play(story)

    def test_the_first_request_of_all_may_come_after_the_deletion(self):
        """Nobody has called the pod yet, but it was ready: balancers know it."""
        async def story():
            w = self.world("native", rollout.Times(second=1, grace=120, drain_delay=5))
            pod = w.make(drain_delay=None)
            await self.is_ready(pod)
            client = self.client(w, "first")
            end = asyncio.create_task(pod.delete())
            await self.eventually(lambda: "drain asked for" in pod.sidecar.log(), "it drains")
            w.service.endpoints[-1][2] = None
            await client.ask("say")
            await end
            if client.begun > pod.deleted_at + 4.5:  # of the sidecar's own five seconds
                self.skipTest("this machine was too busy to be in time")
            self.assertEqual((w.books.ok, w.books.lost), (1, []))
        self.play(story)

    def test_requests_wait_while_a_crashed_agent_is_started_again(self):
        async def story():
            w = self.world("native")
            pod = w.make(flags=("--forward-hold-timeout", "100s"))
            await self.is_ready(pod)
            w.service.lag = 0
            for n in (1, 2):  # at once, then after a back-off of ten seconds of the kubelet's
                with self.subTest(crash=n):
                    killer, waiter = self.client(w, f"killer{n}"), self.client(w, f"waiter{n}")
                    await waiter.ask("say")  # so that it has a connection: the pod is about to leave the endpoints
                    await killer.ask("crash")
                    self.assertEqual(w.books.lost.pop()[1], "502 AGENT_CONNECTION_LOST")
                    await self.eventually(lambda: len(pod.agent.exits) == n, "its container has ended")  # noqa: B023
                    await waiter.ask("say")
                    self.assertEqual((w.books.ok, w.books.lost), (2 * n, []))
                    await self.eventually(lambda: pod.agent.starts == n + 1, "its start is noted")  # noqa: B023
                    self.assertEqual((pod.agent.exits, pod.sidecar.starts), ([1] * n, 1))
                    await self.is_ready(pod)
            self.assertEqual(pod.hooks, [], "no preStop runs for a container that has ended by itself")
            await pod.delete()
            self.assertEqual(pod.sidecar.status, 0)
        self.play(story)

    def test_the_agents_container_alone_is_restarted(self):
        """Its preStop drains the pod. The new agent takes that back, however seldom the sidecar looks after a healthy agent."""
        async def story():
            w = self.world("native", rollout.Times(second=0.1, grace=3000))
            pod = w.make(flags=("--agent-health-interval", "10m"))
            await self.is_ready(pod)
            client = self.client(w, "c")
            await client.ask("say")
            for n in (1, 2):
                await pod.restart_agent()
                self.assertEqual([h[0] for h in pod.hooks], [200] * n)
                self.assertEqual(pod.agent.exits, [0] * n)
                await self.eventually(lambda: pod.sidecar.log().count("answers at") == n + 1, "the new agent is seen")  # noqa: B023
                await self.eventually(lambda: pod.sidecar.log().count("draining ->") == n, "the drain is taken back")  # noqa: B023
                await self.is_ready(pod)
                await client.ask("say")
                self.assertEqual((w.books.ok, w.books.lost), (n + 1, []))
            await pod.delete()
            self.assert_clean(pod)
            self.assertEqual([h[0] for h in pod.hooks], [200, 200, 200], "the last drain is the end")
        self.play(story)

    def test_a_hung_agent_that_its_liveness_probe_kills(self):
        """It was down before its preStop, hears no TERM, and leaves its socket's file behind. Only the next one takes the drain back."""
        async def story():
            w = self.world("native", rollout.Times(second=0.1, grace=3000))
            pod = w.make(least_grace=AMPLE, flags=("--agent-health-interval", "100ms", "--agent-health-failures", "1"))
            await self.is_ready(pod)

            def said():  # the last word about the agent
                return re.findall("does not answer|answers at", pod.sidecar.log())[-1]
            pod.agent.signal(signal.SIGSTOP)
            await self.eventually(lambda: said() == "does not answer", "it is known to hang")
            await pod.hook()
            self.assertEqual([h[0] for h in pod.hooks], [200])
            pod.agent.signal(signal.SIGCONT)  # once more, late: it is no other
            await self.eventually(lambda: said() == "answers at", "it answers again")
            pod.agent.signal(signal.SIGSTOP)
            await self.eventually(lambda: said() == "does not answer", "and hangs again")
            self.assertNotIn("draining ->", pod.sidecar.log())
            self.assertFalse(await kubelet.is_ok(pod.admin, "/readyz"))
            pod.agent.kill()
            await self.is_back(w, pod)
        self.play(story)

    def test_an_agent_that_never_answered_and_is_started_again(self):
        """By its startupProbe, or its livenessProbe: it listens and is mute, or it does not even listen."""
        async def story(kind):
            w = self.world("native", rollout.Times(second=0.1, grace=3000))
            pod = w.make(least_grace=AMPLE)
            good = pod.agent.argv
            pod.agent.argv = [*good, "mute"] if kind == "mute" else harness.python("print('listening', flush=True)\nimport signal; signal.pause()")
            await self.eventually(lambda: "listening" in pod.agent.log(), "it runs")
            pod.agent.argv = good
            await pod.hook()
            self.assertEqual([h[0] for h in pod.hooks], [200])
            pod.agent.kill()
            await self.is_back(w, pod)
        self.play(story, "mute", "silent")

    def test_an_agent_that_comes_up_while_its_first_drain_is_on(self):
        """It is the one that the hook is for, however late; the next one is another."""
        async def story():
            w = self.world("native", rollout.Times(second=0.1, grace=3000, drain_delay=50))
            pod = w.make(least_grace=AMPLE)
            good = pod.agent.argv
            pod.agent.argv = ["sh", "-c", 'echo started; until [ -e go ]; do sleep 0.05; done; exec "$@"', "sh", *good]
            await self.eventually(lambda: "started" in pod.agent.log(), "it starts, slowly")
            pod.agent.argv = good
            hook = asyncio.create_task(pod.hook())
            await self.eventually(lambda: "drain asked for" in pod.sidecar.log(), "the drain begins")
            (pod.dir / "go").touch()
            await self.eventually(lambda: "answers at" in pod.sidecar.log(), "it answers")
            was_in_time = not hook.done()
            await hook
            if not was_in_time:
                self.skipTest("this machine was too busy to be in time")
            self.assertNotIn("draining ->", pod.sidecar.log())
            pod.agent.kill()
            await self.is_back(w, pod)
        self.play(story)

    async def is_back(self, w, pod):
        """The agent's container was started again, its pod is ready and serves, and stop.grace (5 min) had no part in it."""
        await self.eventually(lambda: pod.agent.starts == 2, "the next one")
        await self.eventually(lambda: "draining ->" in pod.sidecar.log(), "the drain is taken back")
        await self.is_ready(pod)
        await self.client(w, "after").ask("say")
        self.assertEqual((w.books.ok, w.books.lost), (1, []))
        await pod.delete()
        self.assertEqual([pod.agent.status, pod.sidecar.status], [0, 0])

    def test_polled_messages_over_recreations(self):
        """strategy Recreate, the journal on a volume that stays."""
        platform = self.platform()
        state = self.sub_dir()

        async def story():
            env = {"WORKSPACE_ID": platform.id, "PLATFORM_URL": platform.url, "MOLECULE_WORKSPACE_TOKEN": platform.token,
                   "MOLECULE_SIDECAR_PLATFORM_POLL_INTERVAL": "200ms"}
            w = self.world("native", env=env)
            sent = []

            def send(*texts):
                for text in texts:
                    sent.append(f"{text} #{len(sent)}")
                    self.assertEqual(platform.send(sent[-1]).status, 200)

            def answers():
                return [a["text"] for a in platform.answers()]

            pod = w.make(state=state)
            await self.is_ready(pod)
            await self.eventually(lambda: platform.state()["registrations"], "it is registered")
            for n in range(3):
                send("say", "work 0.3", "say")
                await self.eventually(lambda: len(answers()) > 3 * n, "some are answered")  # noqa: B023
                await pod.delete()
                self.assert_clean(pod)
                send("say")
                pod = w.make(state=state)
                await self.is_ready(pod)
            await self.eventually(lambda: len(answers()) >= len(sent), "all are answered")
            await pod.delete()
            told = [a.partition(": ")[2] for a in answers()]
            self.assertEqual(sorted(told), sorted(sent), "each once")
        self.play(story)


if __name__ == "__main__":
    unittest.main()
