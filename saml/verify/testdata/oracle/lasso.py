"""Checks each document with Lasso and prints one line per document: name, "ok"
or "refused", a reason, and the NameID, separated by tabs. Lasso leaves times,
audiences and addresses to its caller; it is an oracle for signatures,
encryption and structure.

Usage: lasso.py DIR NOW ACS ENTITY REQUEST (see pysaml2.py; besides, sp.xml)
"""

import base64
import os
import sys

# This file has the module's name.
sys.path = [p for p in sys.path if os.path.realpath(p or ".") != os.path.dirname(os.path.realpath(__file__))]
import lasso

directory, now, acs, entity, request = sys.argv[1:6]
servers = {}
for line in open(directory + "/list.txt"):
    name, kind, elements, state = line.rstrip("\n").split("\t")
    if kind not in servers:
        server = lasso.Server(directory + "/sp.xml", directory + "/sp.key", None, None)
        server.setEncryptionPrivateKey(directory + "/sp.key")
        try:
            server.addProvider(lasso.PROVIDER_ROLE_IDP, "%s/idp-%s.xml" % (directory, kind), None, None)
        except lasso.ServerAddProviderFailedError:
            server = None  # a kind of key that this version does not know
        servers[kind] = server
    if servers[kind] is None:
        print("\t".join((name, "unable", "key", "")), flush=True)
        continue
    result, reason, name_id = "ok", "", ""
    try:
        login = lasso.Login(servers[kind])
        with open("%s/%s.xml" % (directory, name), "rb") as f:
            login.processAuthnResponseMsg(base64.b64encode(f.read()).decode())
        login.acceptSso()
        name_id = login.nameIdentifier.content if login.nameIdentifier else ""
    except Exception as e:  # every failure is a refusal
        result, reason = "refused", "%s %s" % (type(e).__name__, e)
    clean = lambda s: " ".join(str(s).split())[:160]
    print("\t".join((name, result, clean(reason), name_id or "")), flush=True)
