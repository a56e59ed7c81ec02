"""Encryption of both doors: what callers are shown, how it is renewed while serving, and who they have proven to be.

    files ──read──▶ Material ──kept by──▶ Certificates ──asked at each handshake──▶ api/ and gateway/

Both doors show the same certificate and trust the same authorities. New files count for connections that are made
from then on; those that are open go on with what they began with, until their age ends them.
"""
