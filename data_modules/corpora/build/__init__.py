"""Building corpora: conversion in many processes, the journal of interrupted runs, and the manifest."""
