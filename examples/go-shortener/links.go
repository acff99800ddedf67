package main

import (
	"strconv"
	"sync"
)

// Link is an address with its short code, and the number of its visits.
type Link struct {
	Code    string
	Address string
	Visits  int
}

// Links are in memory: they are lost with the instance, and another instance has other links.
type Links struct {
	mutex sync.Mutex
	all   []*Link
}

func NewLinks() *Links { return &Links{} }

// Add returns the code of an address. The same address gets the same code.
func (l *Links) Add(address string) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, link := range l.all {
		if link.Address == address {
			return link.Code
		}
	}
	link := &Link{Code: strconv.FormatInt(int64(len(l.all)+36*36), 36), Address: address}
	l.all = append(l.all, link)
	return link.Code
}

// Follow returns the address of a code, and counts the visit.
func (l *Links) Follow(code string) (string, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, link := range l.all {
		if link.Code == code {
			link.Visits++
			return link.Address, true
		}
	}
	return "", false
}

// Newest returns copies of up to count links, the newest first.
func (l *Links) Newest(count int) []Link {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	found := make([]Link, 0, count)
	for i := len(l.all) - 1; i >= 0 && len(found) < count; i-- {
		found = append(found, *l.all[i])
	}
	return found
}
