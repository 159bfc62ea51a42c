#include "support/feed_case.h"

#define PEER     "bbbbbbbb-0000-4000-8000-000000000001"
#define STRANGER "bbbbbbbb-0000-4000-8000-000000000002"

TestSuite(peers, .init = feed_open, .fini = feed_close, .timeout = 60);

static struct peer_facts facts;

static bool knows_peer(void)
{
    peers_find(&box, PEER, &facts);
    return facts.name[0] != '\0';
}

static bool knows_stranger(void)
{
    peers_find(&box, STRANGER, &facts);
    return facts.name[0] != '\0';
}

Test(peers, names_come_from_the_list_and_are_cleaned)
{
    fw.peers = "[{\"id\":\"" PEER "\",\"name\":\"  Ann\\u0001 <b>\\n\\n of  Bell \",\"role\":null},"
               "{\"id\":\"x\"},7]";
    peers_find(&box, PEER, &facts);
    cr_assert_str_eq(facts.name, "", "the first goes out bare");
    cr_assert(strstr(facts.card_url, "/registry/discover/" PEER), "%s", facts.card_url);
    UNTIL(knows_peer);
    cr_assert_str_eq(facts.name, "Ann b of Bell");
    cr_assert_str_eq(facts.role, "");
    cr_assert_eq(fw.peer_calls, 1);
    cr_assert_eq(fw.discover_calls, 0);
}

Test(peers, discover_knows_who_is_not_in_the_list)
{
    fw.peers = "[]";
    fw.discover = "{\"id\":\"" STRANGER "\",\"name\":\"Eve\",\"url\":\"http://x\"}";
    UNTIL(knows_stranger);
    cr_assert_str_eq(facts.name, "Eve");
    cr_assert_eq(fw.discover_calls, 1);
}

static bool was_discovered(void)
{
    return fw.discover_calls >= 1;
}

Test(peers, not_to_be_found_is_kept_too)
{
    peers_find(&box, STRANGER, &facts); /* 404 and 404 */
    UNTIL(was_discovered);
    case_run_ms(50);
    for (int k = 0; k < 10; k++) {
        peers_find(&box, STRANGER, &facts);
        case_run_ms(5);
    }
    cr_assert_eq(fw.discover_calls, 1);
    cr_assert_eq(fw.peer_calls, 1);
}

Test(peers, what_a_row_says_is_enough)
{
    struct row r = {.source_id = PEER, .peer_name = "Bob", .peer_role = "cook", .card_url = ""};

    peers_learn(&box, &r);
    peers_find(&box, PEER, &facts);
    cr_assert_str_eq(facts.name, "Bob");
    cr_assert_str_eq(facts.role, "cook");
    case_run_ms(30);
    cr_assert_eq(fw.peer_calls, 0);
}

Test(peers, are_many_and_bounded)
{
    struct row r = {.peer_name = "Bob", .peer_role = "", .card_url = ""};

    for (unsigned k = 0; k < 3000; k++) {
        (void)snprintf(r.source_id, sizeof(r.source_id), "bbbbbbbb-0000-4000-8000-%012u", k);
        peers_learn(&box, &r);
    }
    peers_find(&box, "bbbbbbbb-0000-4000-8000-000000002999", &facts);
    cr_assert_str_eq(facts.name, "Bob");
    peers_find(&box, "bbbbbbbb-0000-4000-8000-000000000000", &facts);
    cr_assert_str_eq(facts.name, "");
    peers_find(&box, "../state", &facts);
    cr_assert_str_eq(facts.card_url, "");
}
