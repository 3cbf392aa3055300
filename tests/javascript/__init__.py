"""Darkroom as the tools of JavaScript see it: npm, GraphQL Code Generator, the plugins of editors."""
