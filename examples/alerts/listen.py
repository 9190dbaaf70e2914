#!/usr/bin/env python3
"""Tells of alerts of pool_optimizer as they are raised and cleared.

usage: listen.py CONNECTION_STRING CHANNEL

CHANNEL is what pool_optimizer.notify_channel says.

Needs psycopg2 (Debian: python3-psycopg2).  Put your pager into page().  The role needs
CONNECT to the database of pool_optimizer.database, and pg_read_all_stats to be told at the
start what is raised already.
"""
import json
import select
import sys
import time

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

RETRY_SECONDS = 5

raised = {}                     # id -> severity, of what was told and is not over


def page(what, alert):
    """Your pager's API goes here."""
    print(what, alert["severity"], alert["alert"], alert["tenant"] or "(cluster)", "-",
          alert["message"], flush=True)


def take(alert):
    """A notification may come twice: what is known by its id is not told again."""
    if alert["state"] == "cleared":
        if raised.pop(alert["id"], None):
            page("CLEARED", alert)
    elif raised.get(alert["id"]) != alert["severity"]:
        raised[alert["id"]] = alert["severity"]
        page(alert["state"].upper(), alert)


def catch_up(connection):
    """What happened while nobody listened."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, alert, severity, tenant, message FROM pool_alerts")
        now = {row[0]: dict(zip(("id", "alert", "severity", "tenant", "message"), row))
               for row in cursor}
    for alert in now.values():
        take({**alert, "state": "raised"})
    for gone in raised.keys() - now.keys():
        print("CLEARED", raised[gone], "alert", gone, flush=True)
    for gone in list(raised.keys() - now.keys()):
        del raised[gone]


def listen(dsn, channel):
    connection = psycopg2.connect(dsn)
    connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    connection.cursor().execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    catch_up(connection)        # after LISTEN, so that nothing is missed in between
    print("listening", flush=True)
    while True:
        select.select([connection], [], [], 60)
        connection.poll()       # raises when the connection is lost
        while connection.notifies:
            message = json.loads(connection.notifies.pop(0).payload)
            if message["kind"] == "alert":
                if "id" in message:
                    take(message)
                else:
                    print("NOTE", message["reason"], flush=True)
            else:
                print("EVENT", message["kind"], message["tenant"], "-", message["reason"],
                      flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    while True:
        try:
            listen(sys.argv[1], sys.argv[2])
        except psycopg2.OperationalError as error:
            print("lost:", str(error).strip(), file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)
