"""The tree keeps its layers, and the checker sees a breach when there is one."""
import os
import tempfile
import unittest

import layers

ROOT = os.environ["SOURCE_DIR"]


class Tree(unittest.TestCase):
    def test_the_tree_keeps_the_rules(self):
        breaches = layers.check(ROOT)
        self.assertEqual([], breaches, "\n" + "\n".join(breaches))


class Checker(unittest.TestCase):
    def breaches(self, path, text):
        with tempfile.TemporaryDirectory() as root:
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full))
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
            return layers.check(root)

    def assertBreach(self, path, text, words):
        found = self.breaches(path, text)
        self.assertEqual(1, len(found), found)
        self.assertIn(words, found[0])

    def test_lower_layer_including_a_higher_one(self):
        self.assertBreach("sidecar/base/a.c", '/* a */\n#include "log/log.h"\n', "lies below log")

    def test_features_including_one_another(self):
        self.assertBreach("sidecar/proxy/a.c", '/* a */\n#include "platform/state.h"\n', "app/ joins them")

    def test_features_may_share_the_agent_port(self):
        self.assertEqual([], self.breaches("sidecar/proxy/a.c", '/* a */\n#include "agent/port.h"\n'))

    def test_a_lower_layer_may_not_use_the_agent_port(self):
        self.assertBreach("sidecar/server/a.c", '/* a */\n#include "agent/port.h"\n', "lies below agent")

    def test_higher_layer_including_a_lower_one_is_fine(self):
        self.assertEqual([], self.breaches("sidecar/app/a.c", '/* a */\n#include "proxy/pump.h"\n'))

    def test_devplatform_stays_out_of_the_features(self):
        self.assertBreach("devplatform/a.c", '/* a */\n#include "platform/state.h"\n', "devplatform may include")

    def test_banned_call(self):
        self.assertBreach("sidecar/base/a.c", "/* a */\nint f(void)\n{\n    return atoi(p);\n}\n", "atoi()")

    def test_banned_word_in_comment_string_or_longer_name_is_fine(self):
        text = '/* exit( */\nint f(void)\n{\n    _exit(1); my_exit(2); o->exit(3); puts("exit(1)");\n}\n'
        self.assertEqual([], self.breaches("sidecar/base/a.c", text))

    def test_exit_only_in_main(self):
        self.assertBreach("sidecar/cmd/a.c", "/* a */\nvoid f(void)\n{\n    exit(1);\n}\n", "only main")

    def test_long_file(self):
        self.assertBreach("sidecar/base/a.c", "/* a */\n" + "int x;\n" * 600, "at most 600")

    def test_missing_opening_comment(self):
        self.assertBreach("sidecar/base/a.c", "int x;\n", "open with a comment")

    def test_unfinished_work(self):
        self.assertBreach("sidecar/base/a.c", "/* a */\n/* TO" + "DO later */\n", "do it")

    def test_sleeping_test(self):
        self.assertBreach("tests/e2e/test_a.py", "time.sle" + "ep(1)\n", "does not sleep")


if __name__ == "__main__":
    unittest.main()
