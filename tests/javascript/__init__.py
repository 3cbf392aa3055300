"""Darkroom as the tools of JavaScript see it: Apollo Client, urql, GraphQL Code Generator, editors."""
